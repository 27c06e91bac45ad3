#include "server/text/abbreviations.h"

#include <unicode/localpointer.h>
#include <unicode/uchar.h>
#include <unicode/udata.h>
#include <unicode/uenum.h>
#include <unicode/unistr.h>
#include <unicode/ures.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace longspan {
namespace {

// Each list is words between blanks, by language. A word stands once, in the list that says most.

// Titles, and words that point at what follows. Something of the same sentence always follows.
constexpr std::string_view kNeverEnd =
    // English
    "Mr Mrs Ms Mx Messrs Dr Drs Prof Profs Gen Col Lt Capt Cpt Sgt Cpl Maj Cmdr Cdr Adm Gov Sen "
    "Rep "
    "Pres Rev Hon Supt Insp Det Pvt Mt Ft e.g i.e cf viz vs approx resp "
    // German
    "Hr Hrn Frl Dipl.-Ing z.B d.h vgl bzw bspw sog insb insbes ggf evtl ca inkl exkl zzgl geb gest "
    "Sankt Univ.-Prof "
    // French, Spanish, Italian, Portuguese
    "Mme Mmes Mlle MM Mgr env Sra Srta Sres Sras Dra Dña Excmo Excma p.ej Sig Sig.ra Dott Avv Ing "
    "Arch "
    "On Exmo Exma p.ex "
    // Dutch, Danish, Norwegian, Swedish
    "dhr mevr ir drs bijv d.w.z o.a bl.a t.ex f.eks dvs "
    // Polish, Czech
    "np tzn tzw ul im św inż mgr hab prof dr gen płk kpt red tj m.in tzv např Ing.arch "
    // Russian, Ukrainian
    "т.е т.н т.к ул им проф акад тов гр пр просп напр см ср "
    // Greek
    "κ κα κος π.χ δηλ βλ "
    // Hindi
    "डॉ प्रो श्री सुश्री "
    // Turkish
    "Sn Av Doç Yrd örn";

// Abbreviations where a number follows, and words (or words of another language) elsewhere.
constexpr std::string_view kBeforeNumbers =
    // English and law
    "No Nos no nos N° n° Nr nr n Art Arts art arts Fig Figs fig figs Tab Tbl Sec Secs sec secs "
    "Sect Ch "
    "ch "
    "Chap chap Eq Eqs eq eqs Vol Vols vol vols Pt pt Par Para par para p pp Ex ex Cl cl Sch Reg "
    "reg "
    "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec "
    // German
    "Abs Bd Bde Kap Ziff Rn Rz S s Bl Anm Abb Nrn Buchst lit Hs Jg "
    // French, Spanish, Italian, Portuguese
    "pag pagg pág págs cap caps núm núms nº nro t tít inc tav sez "
    // Polish, Czech, Russian, Greek
    "str s poz rozdz nr ust pkt č čl odst ст п пп стр рис табл гл с № σελ σ αρ άρθρ";

// Abbreviations that may be a sentence's last word.
constexpr std::string_view kAbbreviations =
    // English
    "Jr Sr Inc Ltd Co Cos Corp Bros Dept Univ Assn Assoc Ave Blvd Rd St Ste Est Pty Cie Mfg Intl "
    "al ed "
    "eds est incl ibid op cit trans hr hrs mins oz lb lbs Mon Tue Tues Wed Thu Thur Thurs Fri Ala "
    "Ariz "
    "Ark Calif Colo Conn Del Fla Ga Ind Kan Ky Md Mich Minn Mont Neb Nev Okla Ore Pa Tenn Tex Va "
    "Vt "
    "Wash Wis Wyo Ph.D Ph "
    // Law
    "U.S.C C.F.R F.2d F.3d F.4th F.Supp S.Ct L.Ed Cal App Supp Ct Cir Dist Bankr Stat Fed v "
    // German
    "u.a o.ä u.ä a.D Chr Jh Jhd Jhdt Mio Mrd Tsd Std Str Tel Aufl Hrsg hrsg Verf gem lt Abt Ges "
    "Gebr "
    "usf u.v.m österr dt engl frz griech ev kath röm mind max min St Kl Verl i.d.R i.S.d i.V.m "
    "a.F n.F m.w.N BGBl "
    // French, Spanish, Italian, Portuguese
    "av apr J.-C St Ste éd coll chap réf a.C d.C EE.UU UU EE Ud Uds Vd Vds S.A aprox Lda Ltda Avda "
    "Dpto "
    "prof ecc Sr "
    // Dutch, Danish, Swedish, Norwegian
    "enz jl nl kr mio osv etc St "
    // Polish, Czech, Hungarian
    "r w ww tys mln mld zł godz ok al pl wg tel kol hl tis apod stol ún břez vö dr "
    // Russian, Ukrainian
    "г гг в вв н.э до руб коп тыс млн млрд обл р о оз д корп стр кв ред изд англ нем фр род ум "
    "рр грн "
    // Greek
    "μ.Χ π.Χ εκ δισ χλμ αι οδ τηλ "
    // Arabic, Hebrew and Armenian have few; single letters are abbreviations anyway.
    ;

constexpr std::string_view kMostlyEnd =
    "etc Etc usw usf u.s.w osv enz itd itp т.д т.п др пр ecc κ.λπ κλπ κ.ά atd apod";

// Words of ICU's lists that are ordinary ones, in that language or another, and end sentences.
constexpr std::string_view kOrdinary =
    "am on all com out set end long cat port pal res des mov rel sup lit ill dim cam mer mar sam "
    "jeu "
    "ven dom may vie mat ver int ind org comp gram fund hist bien sol kit rol test mod do so mo di "
    "mi "
    "doc fig graph trad quart anon collect prod desc lin col elem cont lat "
    "Job Link Act Hat Is In On Or To Up By As Go Do All Long Joe Jam Card Ok OK PC AA AB AD Var "
    "Test "
    "Best Port Temp Kit Rol Sol Bien RAM PIN Max So Mi Mo Di Sa Fabric Cap Pro Or Def Id Min Mod "
    "Obj "
    "Dat Kop Dim Desc Seg Ant Exc Korn Emm Em Trab Liv Alm Pe Pro Lev Mart Chin Int CA SA DC MM PP";

// Words with a capital letter that begin a sentence, and seldom follow an abbreviation within one.
// Particles of names ("De", "Van", "Da") are not among them.
constexpr std::string_view kStarters =
    // English
    "The A An He She It They We You I This That These Those There Their His Her Its Our My Your "
    "But And "
    "Or If When While What Who Why How Where In On At For From To As After Before However Although "
    "Since So Then Now No Not Yes Some Many Most All Both Each Another Other Such With Under "
    "During "
    "Because Once Only Also Is Are Was Were Do Does Did Can Could Please Here One Two Three "
    // German
    "Der Die Das Dem Den Des Ein Eine Einen Einem Einer Eines Er Sie Es Wir Ich Ihr Man Dies Diese "
    "Dieser "
    "Dieses Jedoch Aber Und Oder Doch Auch Als Wenn Weil Dann Nach Bei Mit Im Am Auf Für Zu Zum "
    "Zur Seit "
    "Aus Durch Über Unter Vor Während Nun Seine Seiner Ihre Hier Heute Nur Noch Nicht Kein Keine "
    "Alle "
    "Viele Zwischen Bis Damit Dabei Dort Daher Ab Um "
    // French
    "Le La Les Un Une Il Elle Ils Elles Ce Cette Ces Cet Je Nous Vous Tu Mais Et Ou Dans En Au Aux "
    "À "
    "Pour Par Sur Avec Sans Depuis Après Avant Selon Si Quand Son Sa Ses Leur Leurs Notre Plus "
    "Ainsi Sous "
    // Spanish
    "El Los Las Lo Él Ella Ellos Esta Este Esto Estos Estas Ese Esa Eso Con Por Para Sin Su Sus Se "
    "Sí Y "
    "Pero Cuando Como Según Desde Tras Entre Además También Es Fue Hay Yo Al "
    // Italian
    "Gli È E Ma Nel Nella Non Per Questo Questa Questi Queste Anche Dopo Quando Sono Era Egli Lui "
    "Lei "
    "Alla Dal Dalla Sul Sulla Tra Fra Uno "
    // Portuguese
    "O Os As Uma Ele Ela Eles Elas Em Na Nos Nas Ao Com Sem Não Segundo Isso Isto Esse Essa Seu "
    "Sua Já "
    "Foi Há Eu Um "
    // Dutch, Danish, Swedish, Norwegian
    "Het Hij Zij Een Er Maar Ook Dit Dat Deze Ze Bij Naar Voor Det Han Hun Hon Och Og Men Den På I "
    "För "
    // Polish, Czech
    "W Na Z Po Od Za Przez Ten Ta Te Ona Ono Oni Jest Nie Ale Jak Gdy Kiedy Jednak Jego Jej Ich "
    "Był Była "
    "Było Są Dla Tak Tym Przed Podczas V Ve Její Je Byl Byla Když Pro Při "
    // Russian, Ukrainian
    "Он Она Оно Они Это Этот Эта Эти Но И А В Во На По С Со К У О Об От До Из За При Как Так Что "
    "Если "
    "Когда Мы Вы Я Для После Однако Также Его Её Их Не Тогда Там Здесь Все Всё Кроме Под Через "
    "Является "
    "Він Вона Вони Це Та "
    // Greek
    "Ο Η Το Οι Τα Στο Στη Στην Στον Στις Με Για Από Σε Και Αλλά Όμως Αυτό Αυτή Αυτός Αν Όταν Δεν "
    "Θα Είναι "
    "Την Τον Τις Τους Του Της Των Μετά";

// What follows an ordinal with a capital letter. Of the languages that write a full stop behind an
// ordinal ("3. Oktober") only German and its neighbours write nouns and months with one.
constexpr std::string_view kAfterOrdinals =
    "Januar Jänner Februar Feber März April Mai Juni Juli August September Oktober November "
    "Dezember "
    "Jan Feb Apr Jun Jul Aug Sept Sep Okt Nov Dez "
    "Jahrhundert Jahrhunderts Jahrhunderte Jahrhunderten Jahrtausend Jahrtausends Jh Jhd Jhdt "
    "Weltkrieg "
    "Weltkriegs Bundesliga Liga Platz Plätze Rang Mal Tag Tages Auflage Kapitel Etage Stock Klasse "
    "Stufe "
    "Lebensjahr Lebensjahres Geburtstag Geburtstags Jahrestag Todestag Runde Spieltag Minute Armee "
    "Division Band Bezirk Arrondissement Semester Quartal Teil Staffel Folge Legislaturperiode "
    "Wahlperiode "
    "Rate Sitzung Internationale Internationalen Kompanie Regiment Bataillon Grad Generation "
    "Obergeschoss "
    "OG Senat Buch Akt Satz Vers Strophe Hauptsatz Dynastie Sinfonie Symphonie";

std::u16string_view View(const icu::UnicodeString& string) {
  return {string.getBuffer(), static_cast<size_t>(string.length())};
}

template <typename Words>
void AddWords(std::string_view list, Words* words) {
  for (const absl::string_view word :
       absl::StrSplit(absl::string_view(list.data(), list.size()), ' ', absl::SkipEmpty())) {
    const auto string =
        icu::UnicodeString::fromUTF8({word.data(), static_cast<int32_t>(word.size())});
    words->insert(std::u16string(View(string)));
  }
}

absl::Status Failed(const char* what, UErrorCode code) {
  return absl::InternalError(absl::StrCat(
      "ICU cannot read its ", what, ", with which sentences are found: ", u_errorName(code),
      "; the data of libicu72 must be complete (ICU_DATA, where it is set, must name its folder)"));
}

}  // namespace

bool Abbreviations::Has(const Words& words, std::u16string_view word) {
  std::u16string key(word);
  if (key.empty()) return false;
  if (words.contains(key)) return true;
  // "VGL" is no abbreviation of ours, "Vgl" is.
  if (!u_isupper(key[0]) || (key.size() > 1 && u_isupper(key[1]))) return false;
  key[0] = static_cast<char16_t>(u_tolower(key[0]));
  return words.contains(key);
}

absl::Status Abbreviations::LoadSuppressions() {
  static constexpr const char* kWhat = "lists of abbreviations";
  static constexpr const char* kPackage = U_ICUDATA_NAME U_TREE_SEPARATOR_STRING "brkitr";
  UErrorCode code = U_ZERO_ERROR;
  const icu::LocalUEnumerationPointer locales(ures_openAvailableLocales(kPackage, &code));
  if (U_FAILURE(code)) return Failed(kWhat, code);
  while (const char* locale = uenum_next(locales.getAlias(), nullptr, &code)) {
    // Most languages have none, which is no error. ures_open would look in the language of the
    // machine then.
    UErrorCode missing = U_ZERO_ERROR;
    const icu::LocalUResourceBundlePointer bundle(ures_openDirect(kPackage, locale, &missing));
    const icu::LocalUResourceBundlePointer exceptions(
        ures_getByKey(bundle.getAlias(), "exceptions", nullptr, &missing));
    const icu::LocalUResourceBundlePointer list(
        ures_getByKey(exceptions.getAlias(), "SentenceBreak", nullptr, &missing));
    if (U_FAILURE(missing)) continue;
    for (int32_t i = 0; i < ures_getSize(list.getAlias()); ++i) {
      int32_t length = 0;
      const char16_t* entry = ures_getStringByIndex(list.getAlias(), i, &length, &code);
      if (U_FAILURE(code)) return Failed(kWhat, code);
      // "n. Chr." is two words here, each with a full stop.
      std::u16string_view rest(entry, static_cast<size_t>(length));
      for (size_t stop = 0; (stop = rest.find(u' ')) != std::u16string_view::npos;
           rest.remove_prefix(stop + 1)) {
        if (stop > 0 && rest[stop - 1] == u'.') abbreviations_.emplace(rest.substr(0, stop - 1));
      }
      if (rest.ends_with(u'.')) abbreviations_.emplace(rest.substr(0, rest.size() - 1));
    }
  }
  if (U_FAILURE(code) || abbreviations_.empty())
    return Failed(kWhat, U_FAILURE(code) ? code : U_MISSING_RESOURCE_ERROR);
  return absl::OkStatus();
}

void Abbreviations::AddOurs() {
  Words ordinary;
  AddWords(kOrdinary, &ordinary);
  std::erase_if(abbreviations_,
                [&](const std::u16string& word) { return ordinary.contains(word); });
  AddWords(kAbbreviations, &abbreviations_);
  AddWords(kNeverEnd, &never_end_);
  AddWords(kBeforeNumbers, &before_numbers_);
  AddWords(kMostlyEnd, &mostly_end_);
  AddWords(kStarters, &starters_);
  AddWords(kAfterOrdinals, &after_ordinals_);
}

absl::StatusOr<Abbreviations> Abbreviations::Load() {
  Abbreviations loaded;
  if (absl::Status status = loaded.LoadSuppressions(); !status.ok()) return status;
  loaded.AddOurs();
  return loaded;
}

}  // namespace longspan

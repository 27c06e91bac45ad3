#include "core/models/rope_parameters.h"

#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

using Type = RopeScaling::Type;

constexpr std::array<std::pair<std::string_view, Type>, 7> kTypes = {{
    {"default", Type::kDefault},
    {"linear", Type::kLinear},
    {"dynamic", Type::kDynamic},
    {"yarn", Type::kYarn},
    {"longrope", Type::kLongrope},
    {"llama3", Type::kLlama3},
    {"proportional", Type::kProportional},
}};

// The two objects as one: a key of the shared one overrides the same key of the own one.
class RopeReader {
 public:
  RopeReader(JsonReader& own, JsonReader& shared) : own_(own), shared_(shared) {}

  JsonReader& Of(std::string_view key) { return shared_.Has(key) ? shared_ : own_; }
  bool Has(std::string_view key) const { return own_.Has(key) || shared_.Has(key); }
  double Number(std::string_view key, std::optional<double> fallback) {
    return Of(key).PositiveNumber(key, fallback);
  }

  Type ReadType() {
    std::vector<std::string_view> names;
    names.reserve(std::size(kTypes));
    for (const auto& [name, type] : kTypes) names.push_back(name);
    // Under its old name the type is found in the own object only.
    const char* own_key = own_.Has("rope_type") ? "rope_type" : "type";
    const std::string name = shared_.Has("rope_type")
                                 ? shared_.String("rope_type", "default", names)
                                 : own_.String(own_key, "default", names);
    const std::string old_name = shared_.String("type", name);
    if (old_name != name) {
      shared_.FailBecause("type",
                          absl::StrCat("is \"", old_name, "\" where \"rope_type\" is \"", name,
                                       "\"; allowed: both the same, since the "
                                       "published library reads the latter only"));
    }
    if (name == "default" && Has("factor") && !Has("rope_type") && !Has("type"))
      Of("factor").FailBecause("factor", "stands without \"rope_type\"; allowed: with one");
    for (const auto& [known, type] : kTypes) {
      if (known == name) return type;
    }
    return Type::kDefault;
  }

  // The numbers of a list that must have `count` of them.
  std::vector<double> Numbers(std::string_view key, int64_t count) {
    std::vector<double> numbers;
    const nlohmann::json& list = Of(key).Value(key);
    bool good = list.is_array() && static_cast<int64_t>(list.size()) == count;
    for (size_t i = 0; good && i < list.size(); ++i) {
      good = list[i].is_number() && list[i].get<double>() > 0 && list[i].get<double>() < 1e30;
      if (good) numbers.push_back(list[i].get<double>());
    }
    if (!good)
      Of(key).Fail(key, absl::StrCat("a list of ", count,
                                     " numbers above 0, one for each pair of "
                                     "values of a head"));
    return good ? numbers : std::vector<double>(count, 1.0);
  }

 private:
  JsonReader& own_;
  JsonReader& shared_;
};

// The part of YaRN's default attention factor that grows with the scaling (2309.00071, sec. 3.4).
double AttentionGrowth(double factor, double scale) {
  return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

double YarnAttentionFactor(RopeReader& reader, double factor) {
  if (reader.Has("attention_factor")) return reader.Number("attention_factor", 1.0);
  if (!reader.Has("mscale") || !reader.Has("mscale_all_dim")) return AttentionGrowth(factor, 1.0);
  return AttentionGrowth(factor, reader.Number("mscale", 1.0)) /
         AttentionGrowth(factor, reader.Number("mscale_all_dim", 1.0));
}

double LongropeAttentionFactor(RopeReader& reader, double factor, int64_t original) {
  if (reader.Has("attention_factor")) return reader.Number("attention_factor", 1.0);
  if (factor <= 1) return 1.0;
  return std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(original)));
}

}  // namespace

RopeScaling ReadRopeScaling(JsonReader& own, JsonReader& shared, const RopeModel& model) {
  RopeReader reader(own, shared);
  RopeScaling scaling;
  scaling.type = reader.ReadType();
  scaling.theta = reader.Number("rope_theta", model.theta);
  scaling.max_positions = model.max_positions;
  const double share = reader.Number("partial_rotary_factor", 1.0);
  const bool proportional = scaling.type == Type::kProportional;
  if (share > 1 || (share != 1 && !proportional)) {
    reader.Of("partial_rotary_factor")
        .Fail("partial_rotary_factor",
              proportional ? "numbers above 0, up to 1" : "1 (only proportional has another)");
  }
  scaling.rotary_share = share;
  const bool has_original = scaling.type == Type::kYarn || scaling.type == Type::kLongrope ||
                            scaling.type == Type::kLlama3;
  if (has_original) {
    const char* key = "original_max_position_embeddings";
    scaling.original_max_positions = reader.Of(key).Integer(
        key, {.fallback = std::max<int64_t>(2, model.max_positions), .min = 2});
  }
  // What yarn and longrope take for a factor that is not given.
  const double ratio = static_cast<double>(model.max_positions) /
                       static_cast<double>(std::max<int64_t>(2, scaling.original_max_positions));
  switch (scaling.type) {
    case Type::kDefault:
      break;
    case Type::kLinear:
      scaling.factor = reader.Number("factor", std::nullopt);
      break;
    case Type::kDynamic:
      scaling.factor = reader.Number("factor", std::nullopt);
      if (model.head_size <= 2)
        reader.Of("rope_type")
            .FailBecause("rope_type", "is dynamic, which needs heads of 4 or more");
      break;
    case Type::kYarn:
      scaling.factor = reader.Number("factor", ratio);
      scaling.attention_factor = YarnAttentionFactor(reader, scaling.factor);
      scaling.beta_fast = reader.Number("beta_fast", 32.0);
      scaling.beta_slow = reader.Number("beta_slow", 1.0);
      if (scaling.theta == 1)
        reader.Of("rope_theta").Fail("rope_theta", "numbers other than 1 with yarn");
      break;
    case Type::kLongrope:
      scaling.short_factor = reader.Numbers("short_factor", model.head_size / 2);
      scaling.long_factor = reader.Numbers("long_factor", model.head_size / 2);
      scaling.attention_factor = LongropeAttentionFactor(reader, reader.Number("factor", ratio),
                                                         scaling.original_max_positions);
      break;
    case Type::kLlama3:
      scaling.factor = reader.Number("factor", std::nullopt);
      scaling.low_freq_factor = reader.Number("low_freq_factor", std::nullopt);
      scaling.high_freq_factor = reader.Number("high_freq_factor", std::nullopt);
      if (scaling.high_freq_factor <= scaling.low_freq_factor)
        reader.Of("high_freq_factor").Fail("high_freq_factor", "numbers above low_freq_factor");
      break;
    case Type::kProportional:
      scaling.factor = reader.Number("factor", 1.0);
      break;
  }
  return scaling;
}

}  // namespace longspan

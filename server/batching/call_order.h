// CallOrder: in which order the calls of one client are served, so that a small call does not wait
// for the backlog of large ones before it: many callers may share one name, those behind a proxy
// its address.
//
// The order is that in which the calls would end if all of them were served at the same time, each
// at the same rate (fair queueing, Demers, Keshav and Shenker 1989; virtual time as Parekh and
// Gallager 1993). So calls of equal size end in the order of their arrival, and a small call goes
// before larger ones. Small calls that keep coming would hold up a large one for ever that way; the
// queue sees to that (fair_queue.h).
//
//   Example: three calls of 10 s come at once. After 6 s, in truth all for the first of them, each
//   has had 2 s in that reckoning, and is to end at 10. A call of 1 s that comes now is to end at
//   2 + 1 = 3, so it is next.
//
// An item of a call is reckoned with its part of the call's rate, so that the items of a call end
// together, and how many there are does not matter.
//
// Cost: O(log calls) for each method, amortised. Proven by call_order_test. Thread safety: none.
#pragma once

#include <algorithm>
#include <map>

namespace longspan {

class CallOrder {
 public:
  struct Place {
    double end = 0;   // when the call would end; smaller is earlier
    double part = 0;  // of the call's rate that is the item's
  };

  // An item of this cost comes, of a call that costs `call` in all; less than the cost counts as
  // that.
  Place Arrive(double cost, double call) {
    call = std::max(call, cost);
    const Place place{.end = now_ + call, .part = call > 0 ? cost / call : 1};
    parts_[place.end] += place.part;
    rate_ += place.part;
    return place;
  }

  // Items were served at this cost.
  void Serve(double cost) {
    while (!parts_.empty()) {
      const auto first = parts_.begin();
      const double until_first_ends = (first->first - now_) * rate_;
      if (cost < until_first_ends) {
        now_ += cost / rate_;
        return;
      }
      cost -= until_first_ends;
      now_ = first->first;
      rate_ -= first->second;
      parts_.erase(first);
    }
    Clear();
  }

  // An item goes away without being served.
  void Leave(const Place& place) {
    const auto found = parts_.find(place.end);
    if (found == parts_.end()) return;  // in the reckoning it has ended
    rate_ -= place.part;
    found->second -= place.part;
    if (found->second <= kRounding) parts_.erase(found);
    if (parts_.empty()) rate_ = 0;  // no rounding error is kept
  }

  // Nothing waits any more.
  void Clear() { *this = {}; }

 private:
  // The parts that are left where all items of an end have gone, by rounding.
  static constexpr double kRounding = 1e-9;

  std::map<double, double> parts_;  // of the calls that go on in the reckoning, by their ends
  double rate_ = 0;                 // the sum of the parts
  double now_ = 0;                  // what each call that goes on all the time has had so far
};

}  // namespace longspan

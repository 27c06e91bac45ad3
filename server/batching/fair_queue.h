// FairQueue: whose turn it is among the clients that wait for the same thing, so that one client's
// backlog is its own wait. Plain bookkeeping over costs in any unit, without a clock, so that
// fairness is tested alone.
//
// Each client has a virtual time, which grows by the cost of its items as they are taken; the
// waiting client with the smallest virtual time goes next (start-time fair queueing with equal
// weights; Goyal, Vin and Cheng 1996, section 2).
//
// Inside a client, calls go in the order of call_order.h: of equal size in the order of their
// arrival, and small ones before larger ones. But once items have gone before the oldest one that
// cost as much as its whole call, it is next. So no call waits for more than about twice the cost
// that was there before it.
//
// A client that had nothing waiting comes back at the virtual time of those that had: idle time is
// not saved up. Its own virtual time is kept while it is ahead of theirs, so that sending items one
// at a time wins nothing.
//
//   Example: A has a backlog of items that cost 1 each, B comes later with items of 2. The virtual
//   times before each choice, and the choice:
//     A       0    1    2    2    3    4    4
//     B       -    -    1    3    3    3    5      (comes in where the second choice was made)
//     choice  A    A    B    A    A    B    A      and so on: as much for A as for B
//
// Cost: O(log items) per item; TakeFirst and RemoveIf look at more items. Proven by
// fair_queue_test. Thread safety: none.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/batching/call_order.h"

namespace longspan {

template <typename Item>
class FairQueue {
 public:
  // What an item that is taken costs its client.
  using Cost = std::function<double(Item&)>;

  // For the order inside the client: what the item, and all of the call that it belongs to, will
  // probably cost. Nothing = first come, first served.
  struct Size {
    double item = 0;
    double call = 0;  // less than the item: that of the item
  };
  void Push(Item item, const std::string& name, const Size& size = {}) {
    Client& client = clients_.try_emplace(name).first->second;
    if (client.queue.empty()) {
      client.order.Clear();
      client.virtual_time = std::max(client.virtual_time, Now());
      turns_.emplace(client.virtual_time, name);
    }
    const CallOrder::Place place = client.order.Arrive(size.item, size.call);
    const auto waiting = client.queue.emplace(
        place.end,
        Waiting{std::move(item), place, std::max(size.item, size.call), client.by_arrival.end()});
    waiting->second.arrival = client.by_arrival.insert(client.by_arrival.end(), waiting);
  }

  bool empty() const { return turns_.empty(); }
  // Whether a client other than this one waits.
  bool OthersWait(const std::string& client) const {
    return turns_.size() > 1 || (turns_.size() == 1 && turns_.begin()->second != client);
  }
  // The virtual time of a client; of one that is not known, that of a new one.
  double TimeOf(const std::string& name) const {
    const auto client = clients_.find(name);
    return client == clients_.end() ? Now() : client->second.virtual_time;
  }

  // The largest virtual time that a client has had.
  double HighestTime() const { return highest_time_; }

  // Next, BeginService and Take need a queue that is not empty.
  const Item& Next() const { return clients_.at(turns_.begin()->second).Next()->second.item; }
  // A unit of service begins, for which one or more items are taken. Clients that come while it
  // lasts come in at its virtual time, so they are not taken for ones that have had part of it.
  void BeginService() { virtual_time_ = turns_.begin()->first; }
  Item Take(const Cost& cost) {
    return TakeFrom(turns_.begin(), clients_.at(turns_.begin()->second).Next(), cost);
  }

  // Which items TakeFirst looks at.
  struct Reach {
    size_t clients = std::numeric_limits<size_t>::max();        // so many of those that wait
    size_t items_of_each = std::numeric_limits<size_t>::max();  // so deep into each one's queue
  };
  // Takes the first item that `fits`, in the order of the clients' turns.
  std::optional<Item> TakeFirst(const Reach& reach, const std::function<bool(const Item&)>& fits,
                                const Cost& cost) {
    size_t looked_at = 0;
    for (auto turn = turns_.begin(); turn != turns_.end(); ++turn) {
      if (looked_at++ == reach.clients) break;
      Client& client = clients_.at(turn->second);
      const auto next = client.Next();
      if (fits(next->second.item)) return TakeFrom(turn, next, cost);
      size_t depth = 1;
      for (auto item = client.queue.begin(); item != client.queue.end(); ++item) {
        if (depth++ >= reach.items_of_each) break;
        if (fits(item->second.item)) return TakeFrom(turn, item, cost);
      }
    }
    return std::nullopt;
  }

  // Hands all items for which `condition` holds to `removed`; nobody is charged for them.
  void RemoveIf(const std::function<bool(const Item&)>& condition,
                const std::function<void(Item)>& removed) {
    for (auto& [name, client] : clients_) {
      if (client.queue.empty()) continue;
      for (auto next = client.queue.begin(); next != client.queue.end();) {
        const auto waiting = next++;
        if (!condition(waiting->second.item)) continue;
        client.order.Leave(waiting->second.place);
        removed(client.Remove(waiting).item);
      }
      if (client.queue.empty()) turns_.erase({client.virtual_time, name});
    }
  }

 private:
  struct Waiting;
  using Queue = std::multimap<double, Waiting>;  // by CallOrder::Place::end, then by arrival
  using Arrivals = std::list<typename Queue::iterator>;
  struct Waiting {
    Item item;
    CallOrder::Place place;
    double call = 0;  // Size
    typename Arrivals::iterator arrival;
  };
  struct Client {
    // The item that goes next; needs one that waits.
    typename Queue::const_iterator Next() const {
      const typename Queue::const_iterator oldest = by_arrival.front();
      return overtaken >= oldest->second.call ? oldest : queue.begin();
    }
    Waiting Remove(typename Queue::const_iterator waiting) {
      if (waiting == by_arrival.front()) overtaken = 0;
      by_arrival.erase(waiting->second.arrival);
      return std::move(queue.extract(waiting).mapped());
    }

    Queue queue;
    Arrivals by_arrival;
    CallOrder order;
    double overtaken = 0;  // the cost of what went before the oldest item since it is the oldest
    double virtual_time = 0;
  };
  using Turns = std::set<std::pair<double, std::string>>;  // virtual time, client

  // The virtual time at which the last service began, and never above that of a waiting client. A
  // client that is back before the others moved on from there has lost nothing.
  double Now() const {
    return turns_.empty() ? virtual_time_ : std::min(virtual_time_, turns_.begin()->first);
  }

  Item TakeFrom(typename Turns::const_iterator turn, typename Queue::const_iterator place,
                const Cost& cost) {
    const typename Turns::node_type taken = turns_.extract(turn);
    Client& client = clients_.at(taken.value().second);
    const bool oldest = place == client.by_arrival.front();
    Waiting waiting = client.Remove(place);
    const double charged = cost(waiting.item);
    if (charged > 0) {
      client.order.Serve(charged);
    } else {
      client.order.Leave(waiting.place);
    }
    if (!oldest) client.overtaken += charged;
    client.virtual_time += charged;
    highest_time_ = std::max(highest_time_, client.virtual_time);
    if (!client.queue.empty()) turns_.emplace(client.virtual_time, taken.value().second);
    DropIdleClients();
    return std::move(waiting.item);
  }

  // Forgets the clients that wait for nothing and whose virtual time the others have reached: they
  // would come back at Now() like a new client. Looks only once in as many items as there are
  // clients, so that an item costs O(1). The 16 keep it from looking at every item where clients
  // are few.
  void DropIdleClients() {
    if (++taken_since_drop_ < clients_.size() + 16) return;
    taken_since_drop_ = 0;
    const double now = Now();
    std::erase_if(clients_, [&](const auto& entry) {
      return entry.second.queue.empty() && entry.second.virtual_time <= now;
    });
  }

  std::map<std::string, Client> clients_;  // by name
  Turns turns_;                            // clients that wait
  double virtual_time_ = 0;                // at which the last service began
  double highest_time_ = 0;                // of any client so far
  size_t taken_since_drop_ = 0;            // items taken since DropIdleClients last looked
};

}  // namespace longspan

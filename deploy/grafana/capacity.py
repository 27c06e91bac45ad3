"""The dashboard capacity: what the service costs, how much is left, what one more server brings."""
from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import TextBoxVariable
from grafana_foundation_sdk.models.dashboard import Dashboard
from panels import JOB, RATE, SERVER, Graph, Query, Row, Stat, alert_threshold, board

SATURATED = alert_threshold("LongspanSaturated")
BURNS_SLOWLY = alert_threshold("LongspanLatencyBurnsSlowly", 2)
BURNS_FAST = alert_threshold("LongspanLatencyBurnsFast")

SERVERS = f"sum(longspan:servers:count{{{JOB}}})"
TOKENS = f"sum(longspan:tokens:rate5m{{{JOB}}})"
CAPACITY = f"sum(longspan:capacity_tokens:rate5m{{{JOB}}})"
BUSY = f"avg(longspan:compute_busy:ratio5m{{{SERVER}}})"
WAIT = f"avg(longspan:queue_wait:seconds{{{SERVER}}})"
CALLS = f'sum(longspan:slo_calls:rate5m{{slo="availability", {JOB}}})'
# Of the price of an hour, 1,000 tokens take so much.
COST = f"$price * {SERVERS} / 3.6"
# With the same load on one server more, each has so much of what it has now.
ONE_MORE = f"{SERVERS} / ({SERVERS} + 1)"

NOW = Row("Now", [
    Stat("Servers", "Servers that take work.", "short", [Query(SERVERS, "servers")], width=4, bad=1, below=True),
    Stat("Busy", "Share of the computing threads in use, of all servers. Red: LongspanSaturated.", "percentunit", [Query(BUSY, "busy")], width=4,
         bad=SATURATED, maximum=1),
    Stat("Tokens", "Tokens read in a second.", "short", [Query(TOKENS, "tokens/s")], width=4),
    Stat("Capacity", "Tokens a second without pause, at this mix of lengths: tokens over busy share. An estimate, good from a third of the load on.", "short",
         [Query(CAPACITY, "tokens/s")], width=4),
    Stat("Headroom", "Capacity over load: 1.5x means that half as much again fits. Red where LongspanSaturated would fire.", "suffix:x",
         [Query(f"{CAPACITY} / {TOKENS}", "times")], width=4, bad=round(1 / SATURATED, 2), below=True, decimals=2),
    Stat("Cost of 1K tokens", "Price of the servers' hour over the tokens that they read in it, in the price's currency; times 1,000.", "short",
         [Query(f"{COST} / {TOKENS}", "1K tokens")], width=4, decimals=6),
])

MONEY = Row("Cost", [
    Graph("Cost of 1K tokens", "As used now, and where the servers were busy to the target: what lies between is paid for waiting.", "short",
          [Query(f"{COST} / {TOKENS}", "now"), Query(f"{COST} / ($target * {CAPACITY})", "at the target")]),
    Graph("Cost of 1K calls", "The same by calls, whatever their length.", "short", [Query(f"{COST} / {CALLS}", "now")]),
    Graph("Cost of a day", "Servers that take work, at the price of an hour, for 24 hours.", "short", [Query(f"24 * $price * {SERVERS}", "a day")]),
])

HEADROOM = Row("Headroom to the objectives", [
    Graph("Busy", "Share of the computing threads in use. Orange: the target; red: LongspanSaturated.", "percentunit",
          [Query(f"avg by (job) (longspan:compute_busy:ratio5m{{{SERVER}}})", "{{job}}"), Query(f"max(longspan:compute_busy:ratio5m{{{SERVER}}})", "busiest server"),
           Query(f"$target + 0 * {SERVERS}", "limit: target")], bad=SATURATED, maximum=1),
    Graph("Within the objective", "Share of the calls of the last hour that were good, by objective: 99.9 % for availability, 99 % for each class of length.", "percentunit",
          [Query(f"1 - longspan:slo_burn:ratio1h{{{JOB}}} * on (slo) group_left () longspan:slo_budget:ratio", "{{slo}}")], maximum=1),
    Graph("Budget spent over 3 days", "How fast the budget of 30 days goes: below 1 it lasts. Orange and red: the alerts that burn slowly and fast.", "short",
          [Query(f"longspan:slo_burn:ratio3d{{{JOB}}}", "{{slo}}")], warn=BURNS_SLOWLY, bad=BURNS_FAST),
    Graph("Tokens and capacity", "Tokens read in a second, and what would fit.", "short", [Query(TOKENS, "read"), Query(CAPACITY, "limit: capacity")]),
    Graph("Refused for want of capacity", "Calls that more servers would have spared. The line: LongspanOverloaded.", "reqps",
          [Query(f"longspan:capacity_refusals:rate5m{{{JOB}}}", "{{job}}")], bad=alert_threshold("LongspanOverloaded")),
    Graph("Calls by length", "What the load is made of: calls by their longest text in tokens.", "reqps",
          [Query(f"sum by (bucket) (rate(longspan_request_seconds_by_length_count{{{SERVER}}}{RATE})) > 0", "to {{bucket}}")], stacked=True),
])

MORE = Row("What one more server brings", [
    Graph("Busy with one more", "The same load on one server more, if clients spread it evenly.", "percentunit",
          [Query(BUSY, "now"), Query(f"{BUSY} * {ONE_MORE}", "with one more")], bad=SATURATED, maximum=1),
    Graph("Wait with one more", "Until all that is accepted is done, now and on one server more.", "s", [Query(WAIT, "now"), Query(f"{WAIT} * {ONE_MORE}", "with one more")]),
    Graph("Cost of 1K tokens with one more", "The same tokens, paid with one server more.", "short",
          [Query(f"{COST} / {TOKENS}", "now"), Query(f"({COST} + $price / 3.6) / {TOKENS}", "with one more")]),
    Graph("Servers for the target", "Servers with which the load of now would keep each busy to the target; refused calls count as if they had been taken.", "short",
          [Query(SERVERS, "now"), Query(f"ceil({BUSY} * {SERVERS} * (1 + sum(longspan:capacity_refusals:rate5m{{{JOB}}}) / {CALLS}) / $target)", "for the target")]),
    Graph("Tokens of one more", "What each server adds to the capacity, in tokens a second.", "short", [Query(f"{CAPACITY} / {SERVERS}", "each")]),
    Graph("Load by server", "Tokens read in a second by each server: unequal lines mean that one more does not help until clients spread.", "short",
          [Query(f"sum by (instance) (rate(longspan_tokens_total{{{SERVER}}}{RATE}))", "{{instance}}")]),
])


def capacity() -> Dashboard:
    numbers = [TextBoxVariable("price").label("Price of a server's hour").default_value("0.40"), TextBoxVariable("target").label("Busy, at most").default_value("0.7")]
    return board("longspan-capacity", "longspan / capacity", "What the service costs, how much is left, what one more server brings. Made by deploy/grafana/make_dashboards.py.",
                 [NOW, MONEY, HEADROOM, MORE], numbers)

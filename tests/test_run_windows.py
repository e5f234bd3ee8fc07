"""Windows of every kind, run over csv files into sqlite, against a plain model in Python."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.jobs import Job, iso
from tests.model import spans

pytestmark = pytest.mark.usefixtures("spark")

HOUR, DAY = 3_600, 86_400
LATENESS = 6 * HOUR
Row = tuple[int, str, int]


def seconds(text: str) -> int:
    """The UTC time as seconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


#: Moments about which rows are, in the order of their arrival: where clocks change, and the edges
#: of years, months and weeks.
MOMENTS = [
    seconds("1966-04-24T07:00"),  # New York: at 02:00, before 1970
    seconds("1969-12-31T23:00"),
    seconds("2010-11-07T02:31"),  # St. John's: from 00:01 to 23:01 of the day before
    seconds("2011-12-30T10:00"),  # Apia: no 30 December
    seconds("2017-10-15T03:00"),  # Sao Paulo: no midnight
    seconds("2021-03-27T22:00"),  # Beirut: no midnight; Athens three hours later
    seconds("2023-10-29T01:00"),  # Athens: 25 hours
]
#: Name -> the window, and the zone and days, or the size and slide, by which the model knows it.
WINDOWS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "plain_day": ("1 day", (DAY, DAY)),
    "hops": ({"size": "1 hour", "slide": "10 minutes"}, (HOUR, 600)),
    "uneven": ({"size": "1 hour", "slide": "25 minutes"}, (HOUR, 1500)),
    "days_hop": ({"size": "2 days", "slide": "36 hours"}, (2 * DAY, 36 * HOUR)),
    "new_york": ({"size": "1 day", "time_zone": "America/New_York"}, ("America/New_York", 1)),
    "st_johns": ({"size": "1 day", "time_zone": "America/St_Johns"}, ("America/St_Johns", 1)),
    "apia": ({"size": "1 day", "time_zone": "Pacific/Apia"}, ("Pacific/Apia", 1)),
    "sao_paulo": ({"size": "1 day", "time_zone": "America/Sao_Paulo"}, ("America/Sao_Paulo", 1)),
    "beirut": ({"size": "1 day", "time_zone": "Asia/Beirut"}, ("Asia/Beirut", 1)),
    "kolkata": ({"size": "1 day", "time_zone": "Asia/Kolkata"}, ("Asia/Kolkata", 1)),
    "athens": ({"size": "1 day", "time_zone": "Europe/Athens"}, ("Europe/Athens", 1)),
    "three_days": ({"size": "3 days", "time_zone": "Europe/Athens"}, ("Europe/Athens", 3)),
    "week": ({"size": "1 week", "time_zone": "Europe/Athens"}, ("Europe/Athens", "week", 1)),
    "weeks": ({"size": "2 weeks", "time_zone": "Europe/Athens"}, ("Europe/Athens", "week", 2)),
    "month": ({"size": "1 month", "time_zone": "Europe/Athens"}, ("Europe/Athens", "month", 1)),
    "quarter": ("3 months", ("UTC", "month", 3)),
}


def batches() -> Iterator[list[Row]]:
    """Files of rows: hours out of order, moments years apart; a row that no aggregation takes and
    that moves the watermark alone; rows that are late by years, and about the watermark."""
    chance = random.Random(4)
    for number, moment in enumerate(MOMENTS):
        times = [moment + chance.randrange(-3 * DAY, 3 * DAY) for _ in range(150)]
        times += [moment + edge * HOUR + off for edge in range(-30, 31) for off in (-1, 0)]
        times.sort(key=lambda time: time + chance.randrange(-9 * HOUR, 9 * HOUR))
        rows = [(time, chance.choice(["a", "b", ""]), chance.randrange(9)) for time in times]
        yield from (rows[:140], rows[140:], [(max(times), "", 0)])
        late = chance.choice(MOMENTS[: number + 1]) + chance.randrange(-DAY, DAY)
        edge = max(times) - LATENESS
        at_the_edge = [(edge - i * 300, "a", i % 9) for i in range(30)]
        yield [(late, "a", 5), (late + 7, "b", 0), (moment, "a", 6), *at_the_edge]


class Model:
    """The semantics in plain Python: a batch is judged by the watermark of two batches before."""

    def __init__(self, aggregations: Mapping[str, tuple[Any, ...]], lateness: int | None) -> None:
        self.aggregations = aggregations
        self.lateness = lateness
        self.windows: dict[str, dict[tuple[int, int, str], list[int]]] = {
            name: {} for name in aggregations
        }
        self.late: Counter[tuple[Any, ...]] = Counter()
        self.accounts = {
            name: {"rows_read": 0, "malformed": 0, "filtered": 0, "late": 0, "aggregated": 0}
            for name in aggregations
        }
        self.watermarks = [float("-inf")] * 2

    def batch(self, rows: list[Row]) -> None:
        watermark = self.watermarks[-2]
        for row in rows:
            for name in self.aggregations:
                self.enter(name, row, watermark)
        latest = max(time for time, _, _ in rows)
        if self.lateness is not None:
            self.watermarks.append(max(self.watermarks[-1], latest - self.lateness))

    def enter(self, name: str, row: Row, watermark: float) -> None:
        time, key, value = row
        account = self.accounts[name]
        windows = spans(time, self.aggregations[name])
        account["rows_read"] += len(windows)
        if name in FILTERED and value <= 2:
            account["filtered"] += len(windows)
            return
        if not key:
            account["malformed"] += len(windows)
            return
        refused = [(start, end) for start, end in windows if end <= watermark]
        for start, end in refused:
            self.late[name, iso(start), iso(end), time, key, value] += 1
        account["late"] += len(refused)
        account["aggregated"] += len(windows) - len(refused)
        for start, end in set(windows) - set(refused):
            self.windows[name].setdefault((start, end, key), []).append(value)


#: A row is in so many of these that their ends are made another way.
MANY: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "plain_day": WINDOWS["plain_day"],
    "often": ({"size": "1 hour", "slide": "2 minutes"}, (HOUR, 120)),
    "uneven": ({"size": "1 hour", "slide": "70 seconds"}, (HOUR, 70)),
}
FILTERED = {"uneven", "athens"}


@pytest.mark.parametrize("all_windows", [WINDOWS, MANY], ids=["each kind", "many for a row"])
@pytest.mark.parametrize("mode", ["--once", "--batch"])
def test_windows_of_all_kinds_in_one_state_give_what_plain_python_computes(
    job: Job, mode: str, all_windows: dict[str, tuple[Any, tuple[Any, ...]]]
) -> None:
    model = Model(
        {name: about for name, (_, about) in all_windows.items()},
        lateness=LATENESS if mode == "--once" else None,
    )
    for rows in batches():
        # An empty key in quotes would be a key; without them it is none.
        job.arrive(f"{time},{key},{value}" for time, key, value in rows)
        model.batch(rows)
    job.config(
        [
            {
                "name": name,
                "window": window,
                "rule": ["key: key", "n: count()", "total: sum(value)"],
                **({"where": "value > 2"} if name in FILTERED else {}),
            }
            for name, (window, _) in all_windows.items()
        ],
        structure={
            "time": {"index": 0, "type": "long"},
            "key": {"index": 1, "type": "string"},
            "value": {"index": 2, "type": "long"},
        },
        processing={"allowed_lateness": "6 hours", "time_zone": "Europe/Athens"},
        streams=["aggregated", "late"],
    )
    report = job.run(mode)
    assert report["balanced"]
    # Of tumbling windows the number is that of all, and not told again.
    read = report["rows_read"]
    accounts = {name: {"rows_read": read, **each} for name, each in report["aggregations"].items()}
    assert accounts == model.accounts
    columns = ("window_start", "window_end", "key", "n", "total")
    for name, windows in model.windows.items():
        expected = sorted(
            (iso(start), iso(end), key, len(values), sum(values))
            for (start, end, key), values in windows.items()
        )
        found = sorted(tuple(row[each] for each in columns) for row in job.rows(name))
        assert found == expected, name
    columns = ("aggregation", "window_start", "window_end", "time", "key", "value")
    late = Counter(tuple(row[each] for each in columns) for row in job.rows("late"))
    assert late == model.late
    if mode == "--once":
        # The model tells hopping rows that some of their windows took from those that none did.
        assert all(account["late"] for account in model.accounts.values())
        assert all(
            accounts[name]["late"] == sum(each[0] == name for each in late.elements())
            for name in accounts
        )


def test_a_row_ten_years_ahead_makes_nobody_late_and_hours_out_of_order_are_exact(
    job: Job,
) -> None:
    start = seconds("2024-02-28T00:00")
    hours = list(range(120))
    random.Random(1).shuffle(hours)
    hours.sort(key=lambda hour: hour // 12)  # out of order by up to half a day
    ahead = int(datetime.now(timezone.utc).timestamp()) + 3653 * DAY
    for first in range(0, 120, 20):
        lines = [f"{start + hour * HOUR},a,{hour}" for hour in hours[first : first + 20]]
        job.arrive([f"{ahead},a,1", *lines])
    job.config(
        [
            {"name": "day", "window": "1 day", "rule": ["key: key", "n: count()", "sum(value)"]},
            {
                "name": "moving",
                "window": {"size": "2 days", "slide": "1 day"},
                "rule": ["n: count()"],
            },
        ],
        processing={"allowed_lateness": "12 hours"},
        streams=["aggregated", "late", "malformed"],
    )
    report = job.run("--once")
    account = {"malformed": 6, "filtered": 0, "late": 0, "aggregated": 120}
    moving = {**account, "rows_read": 246, "aggregated": 240}
    assert report["aggregations"] == {"day": account, "moving": moving}
    assert report["rows_read"] == 126
    assert [(row["n"], row["value"]) for row in job.rows("day")] == [
        (24, float(sum(range(day * 24, day * 24 + 24)))) for day in range(5)
    ]
    assert [row["n"] for row in job.rows("moving")] == [24, 48, 48, 48, 48, 24]
    assert job.rows("late") == []
    assert {row["reason"] for row in job.rows("malformed", "rowid")} == {
        "dated more than 1 day ahead of its arrival"
    }


#: Hopping windows of one or two, of two or three, and of two for each row; and what is beside them.
SOME = {"name": "some", "window": {"size": "10 seconds", "slide": "6 seconds"}}
MORE = {"name": "more", "window": {"size": "10 seconds", "slide": "4 seconds"}}
TWO = {"name": "two", "window": {"size": "20 seconds", "slide": "10 seconds"}}
BALANCES: list[tuple[list[dict[str, Any]], int, dict[str, dict[str, int]], str]] = [
    (
        [{**TWO, "where": "value > 1", "rule": ["key: key", "n: count()"]}],
        11,
        {"two": {"malformed": 3, "filtered": 2, "late": 2, "aggregated": 4}},
        """\
config: 4 batches, 6 rows read, 1 malformed
       rows  malformed  filtered  late  aggregated
  two    11          3         2     2           4
""",
    ),
    (
        [
            {"name": "one", "rule": ["n: count()"]},
            {**SOME, "where": "value > 1", "rule": ["n: count()"]},
            {**MORE, "rule": ["key: key", "n: count()"]},
        ],
        6,
        {
            "one": {"malformed": 1, "filtered": 0, "late": 1, "aggregated": 4},
            # One window at 4, two elsewhere.
            "some": {"rows_read": 10, "malformed": 1, "filtered": 2, "late": 1, "aggregated": 6},
            # Three windows at 1, 4 and 60, two at 2 and 62.
            "more": {"rows_read": 14, "malformed": 4, "filtered": 0, "late": 3, "aggregated": 7},
        },
        """\
config: 4 batches, 6 rows read, 1 malformed
        rows  malformed  filtered  late  aggregated
  one      6          1         0     1           4
  some    10          1         2     1           6
  more    14          4         0     3           7
""",
    ),
]


@pytest.mark.parametrize(("aggregations", "read", "accounts", "balance"), BALANCES)
def test_a_row_counts_once_for_each_window_that_it_is_in(
    job: Job,
    capsys: pytest.CaptureFixture[str],
    aggregations: list[dict[str, Any]],
    read: int,
    accounts: dict[str, dict[str, int]],
    balance: str,
) -> None:
    job.config(aggregations, streams=["aggregated", "late"])
    for records in (["1,a,1", "2,b,2", "broken"], ["60,,2"], ["62,a,3"]):
        job.arrive(records)
    job.run("--once")
    job.arrive(["4,a,4"])
    report = job.run("--once")
    assert (report["rows_read"], report["malformed"]) == (read, 1)
    assert (report["aggregations"], report["balanced"]) == (accounts, True)
    assert balance in capsys.readouterr().err
    late = Counter(row["aggregation"] for row in job.rows("late"))
    assert late == {name: account["late"] for name, account in accounts.items()}

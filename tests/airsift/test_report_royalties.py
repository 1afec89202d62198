"""Reports for royalties, read back by the rules of their formats and nothing of ours."""

from __future__ import annotations

import re

import pytest

from airsift.errors import ConfigError
from airsift.reports.ddex import sales_report
from airsift.reports.soundexchange import report_of_use
from tests.airsift.reported import HOSTILE, NORTH, base_of, report_of
from tests.stream.databases import Base

OF_USE = ["TransmissionCategory=B", "AggregateTuningHours=1234.5"]
CONTACT = [
    "ContactName=Ann Onym", "Street=1 Main Street", "CityStateZip=Springfield, IL 62701",
    "Telephone=217 555 0100", "Email=ann@example.com",
]  # fmt: skip
SALES = [
    "SenderPartyId=PADPIDA2014120301W", "SenderName=Radio North Ltd",
    "RecipientPartyId=PADPIDA2007081601G", "RecipientName=Society", "Territory=DE",
    "CommercialModel=AdvertisementSupportedModel", "CurrencyOfReporting=EUR",
    "NetRevenue=1200.50", "ListenerHours=98765",
]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return base_of(tmp_path_factory.mktemp("royalties"))


def read_report_of_use(data: bytes, *, with_header: bool) -> tuple[list[str], list[list[str]]]:
    """Read a Report of Use as 37 CFR 370.4(e) describes it; return its header and its rows."""
    text = data.decode("ascii")
    assert text.endswith("\r\n")
    lines = text.split("\r\n")[:-1]
    assert not any(re.search(r"[\x00-\x1f\x7f]", line) for line in lines)
    head: list[str] = []
    if with_header:
        head, lines = lines[:14], lines[14:]
        assert all(len(line) <= 255 for line in head[:6])  # (8)(ii)
        assert all(re.fullmatch(r"\d{8}", line) for line in head[6:9])
        assert int(head[9]) == len(lines)
        indicator, delimiter, blank = head[10], head[11], head[12]
        assert (len(indicator), len(delimiter), blank) == (1, 1, "")
    else:
        indicator, delimiter = "^", "|"  # (9)(i) and (ii)
    rows = []
    for line in lines:
        cells = []
        for cell in line.split(delimiter):
            if cell.startswith(indicator):
                assert cell.endswith(indicator)
                cell = cell[1:-1]
                assert cell
            elif cell:
                assert re.fullmatch(r"\d+(\.\d+)?", cell)  # numbers stand without carets
            assert indicator not in cell
            cells.append(cell)
        assert len(cells) == 11
        rows.append(cells)
    return head, rows


def test_report_of_use_without_a_header(base):
    found = report_of_use(report_of(base, stations=[NORTH]), OF_USE)
    assert found.name == "RadioNorth28112026-28112026.txt"
    _, rows = read_report_of_use(found.data, with_header=False)
    assert rows[0] == [
        NORTH, "B", "Max stack", "Orbital Elevator", "DEA123456789", "Skyhook", "Own Label", "",
        "1234.5", NORTH, "1",
    ]  # fmt: skip
    artists = {row[2] for row in rows}
    assert artists == {"Max stack", "+Artist with a tab", "Ghost ?", "Night"}
    assert [remark.split()[0] for remark in found.remarks] == ["2", "1"]


def test_report_of_use_with_a_header(base):
    fields = [*OF_USE, *CONTACT, "NameOfService=WXYZ-FM"]
    found = report_of_use(report_of(base, stations=[NORTH]), fields)
    head, rows = read_report_of_use(found.data, with_header=True)
    assert head[:9] == [
        "WXYZ-FM", "Ann Onym", "1 Main Street", "Springfield, IL 62701", "217 555 0100",
        "ann@example.com", "20261128", "20261128", "20261129",
    ]  # fmt: skip
    assert head[13].split("|")[2] == "^Featured Artist^"
    assert {row[0] for row in rows} == {"WXYZ-FM"}
    assert sum(int(row[10]) for row in rows) == 4


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], "needs --field TransmissionCategory=... .*AggregateTuningHours"),
        (["TransmissionCategory=Z"], "must be the letter"),
        ([*OF_USE, "Colour=red"], "has NameOfService, Trans"),
        ([*OF_USE, CONTACT[0]], "with a header needs --field Street"),
    ],
)
def test_a_report_of_use_says_what_it_needs(base, fields, reason):
    with pytest.raises(ConfigError, match=reason):
        report_of_use(report_of(base, stations=[NORTH]), fields)


# DDEX: of each cell whether it must be there, and its form, by the schema of the profile.
ANY, MAYBE = r".+", r".*"
WHOLE, DPID = r"\d+", r"PADPIDA[a-zA-Z0-9]+"
DURATION = r"PT(\d+H)?(\d+M)?\d+S"
CELLS = {
    "HEAD": [
        "HEAD", r"dsrf/\d[\d.]*/\d[\d.]*/\d[\d.]*", "RadioBroadcastProfile", r"1\.1\.1", ANY,
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", WHOLE, WHOLE, r"\d{4}-\d\d-\d\d",
        r"\d{4}-\d\d-\d\d", DPID, ANY, r"[^\s_]*", DPID, ANY, MAYBE,
    ],
    "SY08.02": [
        r"SY08\.02", ANY, MAYBE, f"({DPID})?", r"[^\s_]+", ANY, r"[A-Za-z]+Model", "Broadcast",
        "[A-Z]{2}", WHOLE, r"\d*", r"\d+(\.\d+)?", "[A-Z]{3}", r"-?\d+(\.\d+)?", *[MAYBE] * 11,
    ],
    "RE01.02": [
        r"RE01\.02", ANY, ANY, ANY, MAYBE, MAYBE, r"(\d{12,14})?", ANY, MAYBE, ANY, *[MAYBE] * 6,
    ],
    "AS02.03": [
        r"AS02\.03", ANY, ANY, ANY, r"([A-Z]{2}[A-Z0-9]{3}\d{7})?", ANY, MAYBE, MAYBE, MAYBE,
        f"({DURATION})?", "SoundRecording", r"(T\d{10})?", *[MAYBE] * 12,
    ],
    "SU05.01": [
        r"SU05\.01", ANY, ANY, ANY, ANY, "true|false", WHOLE, r"\d*", f"({DURATION})?", "Broadcast",
    ],
    "FOOT": ["FOOT", WHOLE, WHOLE, WHOLE, WHOLE, WHOLE],
}  # fmt: skip


def read_sales_report(data: bytes) -> list[list[str]]:
    """Read a message by the rules of the profile; return its records."""
    text = data.decode("utf-8")
    assert text.endswith("\n")
    records = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
    for record in records:
        forms = CELLS[record[0]]
        assert len(record) == len(forms), record
        for form, cell in zip(forms, record, strict=True):
            assert re.fullmatch(form, cell), (record[0], form, cell)
    kinds = [record[0] for record in records]
    # HEAD, summaries, blocks of one release at most, one recording and its usages, FOOT.
    block = r"(RE01\.02 )?AS02\.03 (SU05\.01 )+"
    assert re.fullmatch(rf"HEAD (SY08\.02 )+({block})*FOOT", " ".join(kinds))
    summaries = {record[1]: record for record in records if record[0] == "SY08.02"}
    blocks: dict[str, list[list[str]]] = {}
    for record in records:
        if record[0] in ("RE01.02", "AS02.03", "SU05.01"):
            blocks.setdefault(record[1], []).append(record)
    at = [record[1] for record in records if record[0] in ("RE01.02", "AS02.03", "SU05.01")]
    assert at == [name for name, some in blocks.items() for _ in some]  # blocks lie together
    usages = [record for record in records if record[0] == "SU05.01"]
    for usage in usages:
        [resource] = [each for each in blocks[usage[1]] if each[0] == "AS02.03"]
        assert usage[4] == resource[2]
        assert usage[2] in summaries
    assert len({usage[3] for usage in usages}) == len(usages)
    for name, summary in summaries.items():
        assert int(summary[9]) == sum(int(usage[6]) for usage in usages if usage[2] == name)
    counts = [len(records), len(records), len(summaries), len(blocks), len(blocks)]
    assert records[-1][1:] == [str(count) for count in counts]
    return records


def test_the_message_of_one_station(base):
    found = sales_report(report_of(base, stations=[NORTH]), SALES)
    assert re.fullmatch(
        r"DSR_PADPIDA2007081601G_PADPIDA2014120301W_RadioNorth_2026-11-28_DE_1of1_\d{8}T\d{6}\.tsv",
        found.name,
    )
    records = read_sales_report(found.data)
    [orbital] = [each for each in records if each[0] == "AS02.03" and each[3] == "orbital"]
    assert orbital[4:8] == ["DEA123456789", r"Orbital \| Elevator", "", "Max^stack"]
    assert orbital[9:13] == ["PT4M10S", "SoundRecording", "T0345246801", "M. McCracken"]
    [release] = [each for each in records if each[0] == "RE01.02" and each[1] == orbital[1]]
    assert (release[9], release[12]) == ("Skyhook", r"Own \| Label")
    [usage] = [each for each in records if each[0] == "SU05.01" and each[1] == orbital[1]]
    assert (usage[6], usage[8]) == ("1", "PT6M20S")
    assert len(found.remarks) == 3


def test_stations_that_nobody_should_trust_are_one_cell(base):
    fields = [*SALES, "ServiceDescription=TheNetwork"]
    found = sales_report(report_of(base, stations=[NORTH, HOSTILE]), fields)
    records = read_sales_report(found.data)
    names = [record[5] for record in records if record[0] == "SY08.02"]
    assert names == [NORTH, HOSTILE]
    [formula] = [each for each in records if each[0] == "AS02.03" and each[3] == "formula"]
    usages = [each for each in records if each[0] == "SU05.01" and each[1] == formula[1]]
    assert [each[2] for each in usages] == ["1", "2"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], "needs --field SenderPartyId=.*NetRevenue"),
        (["SenderPartyId=me"], "must be the sender's DDEX Party Id"),
        ([*SALES, "Territory=Germany"], "must be the country"),
        (SALES, "several stations needs --field ServiceDescription"),
    ],
)
def test_a_message_says_what_it_needs(base, fields, reason):
    with pytest.raises(ConfigError, match=reason):
        sales_report(report_of(base), fields)

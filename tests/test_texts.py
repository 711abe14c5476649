"""Texts: what can be seen is taken, what cannot is not, and one text has one form."""

import json
import re
import subprocess
import sys
import time
from typing import Any, Final
from unicodedata import category, combining, normalize, unidata_version

import pytest
from apiflask import APIFlask
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug import security

from app.core.ids import new_id
from app.core.texts import INVISIBLE, TRIMMED, WHITE_SPACE, composed, is_visible, visible
from app.web.fields.strings import LINE_PATTERN
from tests.assertions import refused
from tests.conftest import Account
from tests.rig.programs import need
from tests.walking import walk

pytestmark = pytest.mark.costly

NOTHING: Final = {
    "zero width space": "\u200b",
    "braille blank": "\u2800",
    "hangul filler": "\u3164",
    "half-width hangul filler": "\uffa0",
    "hangul choseong filler": "\u115f",
    "override": "\u202e",
    "bell": "\u0007",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "word joiner": "\u2060",
    "isolate": "\u2066",
    "grapheme joiner": "\u034f",
    "arabic letter mark": "\u061c",
    "khmer vowel": "\u17b4",
    "mongolian separator": "\u180e",
    "variation selector": "\ufe0f",
    "tag": "\U000e0041",
    "null notehead": "\U0001d159",
    "object replacement": "\ufffc",
    "line separator": "\u2028",
    "next line": "\x85",
    "information separator": "\x1f",
    "many": " \u200b\u2800\u3164\u202e\u0007\ufeff\u00ad\t\U000e0001",
}
SOMETHING: Final = {
    "family": "👩\u200d👩\u200d👧",
    "heart": "❤\ufe0f",
    "flag of Scotland": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "one letter": "x",
    "ideographic variation": "葛\U000e0100",
    "hebrew": "\u200fקנה חלב\u200f",
    "persian": "می\u200cکنم",
    "hindi": "दूध खरीदें",
    "hangul": "우유 사기",
    "braille": "⠃⠥⠽",
    "dotless mark": "ẍ̣",
    "number sign": "\u0600",
    "controls inside": "Buy\nmilk\tand\x07bread",
    "private": "\ue000",
}

FORMATS_THAT_SHOW: Final = {
    *range(0x600, 0x606),
    *(0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD),
}
"""Prepended_Concatenation_Mark (PropList.txt), the formats that are signs above what follows."""

IGNORABLE: Final = (
    *((0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2060, 0x206F)),
    *((0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8)),
)
"""Default_Ignorable_Code_Point (DerivedCoreProperties.txt) up to U+FFFF, where the category does
not say it."""

EMPTY_SIGNS: Final = {0x2800, 0x1D159, 0xFFFC}
LATER: Final = set(range(0x13439, 0x13440))
"""Formats of Unicode 15, of which the data of Python 3.11 knows nothing."""


def points(ranges: Any) -> set[int]:
    return {point for first, last in ranges for point in range(first, last + 1)}


# The class of code points


def test_what_shows_nothing_is_what_unicode_says_of_it() -> None:
    derived = {
        point
        for point in range(sys.maxunicode + 1)
        if category(chr(point)) in {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}
    }
    derived |= points(IGNORABLE) | EMPTY_SIGNS | LATER
    derived -= FORMATS_THAT_SHOW
    kept = points(INVISIBLE)
    assert kept - derived == set()
    # A later Unicode may have formats that this release takes for visible; no letters are refused.
    unknown = {point for point in derived - kept if category(chr(point)) == "Cf"}
    assert derived - kept == (unknown if unidata_version > "15.1.0" else set())


def test_what_is_trimmed_is_unicodes_white_space_and_what_was_trimmed_before() -> None:
    separators = {c for c in range(sys.maxunicode + 1) if category(chr(c)) in {"Zs", "Zl", "Zp"}}
    white_space = separators | set(range(0x09, 0x0E)) | {0x85}
    assert points(WHITE_SPACE) == white_space | set(range(0x1C, 0x20))
    assert points(WHITE_SPACE) <= points(INVISIBLE)
    assert set(map(ord, TRIMMED)) == points(WHITE_SPACE)


def test_the_pattern_has_no_escape_but_of_nul_and_no_end_of_a_range_that_cannot_be_seen() -> None:
    assert visible() in LINE_PATTERN
    assert LINE_PATTERN.count("\\") == LINE_PATTERN.count("\\x00") == 3
    ends = re.findall(r"(.)-(.)", LINE_PATTERN.replace("\\x00", " "))
    assert len(ends) > 20
    assert all(is_visible(end) for both in ends for end in both if end != " ")
    assert all(max(both) <= "\uffff" for both in ends)
    assert normalize("NFC", LINE_PATTERN) == LINE_PATTERN


def taken_by_javascript(flags: str) -> set[int]:
    """The code points that ECMAScript takes for something to see, with these flags."""
    script = """
        const [source, flags] = process.argv.slice(1);
        const pattern = new RegExp(JSON.parse(source), flags), taken = [];
        for (let c = 0; c <= 0x10ffff; c++)
            if (c < 0xd800 || c > 0xdfff)
                if (pattern.test(" " + String.fromCodePoint(c))) taken.push(c);
        console.log(JSON.stringify(taken));
    """
    ended = subprocess.run(
        [need("node"), "-e", script, json.dumps(LINE_PATTERN), flags],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(json.loads(ended.stdout))


def test_python_and_javascript_read_the_pattern_alike() -> None:
    every = set(range(sys.maxunicode + 1)) - set(range(0xD800, 0xE000))
    assert taken_by_javascript("u") == every - points(INVISIBLE)
    matches = re.compile(LINE_PATTERN).match
    assert {c for c in every if matches(f" {chr(c)}")} == every - points(INVISIBLE)


def test_an_engine_that_sees_utf_16_takes_letters_and_emoji_and_nothing_that_is_refused() -> None:
    every = set(range(sys.maxunicode + 1)) - set(range(0xD800, 0xE000))
    taken = taken_by_javascript("")
    assert taken <= every - points(INVISIBLE)
    missing = every - points(INVISIBLE) - taken
    # Those of which both units are some unit of what shows nothing: in hieroglyphs, shorthand,
    # musical notation and the plane of tags.
    assert {c >> 10 for c in missing} <= {
        0x13400 >> 10,
        0x1BC00 >> 10,
        0x1D000 >> 10,
        0xE0000 >> 10,
    }


# What is taken

FIELDS: Final = (
    ("POST", "/v1/tasks", "title", {}),
    ("PUT", f"/v1/tasks/{new_id()}", "title", {}),
    ("POST", "/v1/categories", "name", {}),
    ("PATCH", "/v1/me", "name", {}),
    ("POST", "/v1/tokens", "name", {"scopes": ["tasks:read"]}),
)


@pytest.mark.parametrize("text", NOTHING.values(), ids=NOTHING)
def test_a_title_or_name_of_nothing_visible_is_refused(alice: Account, text: str) -> None:
    for method, path, field, others in FIELDS:
        answer = alice.call(method, path, json={field: text, **others})
        assert refused(answer, "string_blank", pointer=f"/{field}")
    searched = alice.get("/v1/tasks", query_string={"q": text})
    assert refused(searched, "string_blank", parameter="q")


@pytest.mark.parametrize("text", SOMETHING.values(), ids=SOMETHING)
def test_a_text_that_shows_something_is_kept_as_it_is(alice: Account, text: str) -> None:
    for method, path, field, others in FIELDS:
        answer = alice.call(method, path, json={field: text, **others})
        assert answer.status_code in {200, 201}, answer.text
        assert answer.json[field] == composed(text)
    found = alice.get("/v1/tasks", query_string={"q": text}).json["items"]
    assert {task["title"] for task in found} == {composed(text)}


def test_white_space_at_the_ends_is_taken_off_and_nothing_else(alice: Account) -> None:
    inside = composed(f"Buy{TRIMMED}milk")
    assert alice.create_task(title=f"{TRIMMED}{inside}{TRIMMED}")["title"] == inside
    kept = "\u200fקנה\u200d"
    assert alice.create_task(title=kept)["title"] == kept


@pytest.mark.parametrize("point", points(WHITE_SPACE))
def test_the_database_refuses_what_is_not_trimmed(
    alice: Account, connection: Any, point: int
) -> None:
    task = alice.create_task()
    with connection.cursor() as cursor:
        for title in (f"{chr(point)}x", f"x{chr(point)}"):
            with pytest.raises(Exception, match="ck_tasks_title"):
                cursor.execute(
                    "update tasks set title = %s where user_id = %s and id = %s",
                    (title, alice.user_id, task["id"]),
                )


# One form

COMPOSED, DECOMPOSED = "Café Å 한", normalize("NFD", "Café Å 한")


def test_texts_are_kept_in_nfc_whichever_way_they_come(alice: Account) -> None:
    assert COMPOSED != DECOMPOSED
    made = alice.create_task(title=DECOMPOSED, description=DECOMPOSED)
    assert (made["title"], made["description"]) == (COMPOSED, COMPOSED)
    path = f"/v1/tasks/{made['id']}"
    changed = alice.patch(path, json={"title": f"{DECOMPOSED}!", "description": DECOMPOSED * 2})
    assert changed.json["title"] == f"{COMPOSED}!"
    assert changed.json["description"] == COMPOSED * 2
    assert alice.call("PUT", path, json={"title": DECOMPOSED}).json["title"] == COMPOSED
    assert alice.create_category(name=DECOMPOSED)["name"] == COMPOSED
    assert alice.create_token(name=DECOMPOSED)["name"] == COMPOSED
    assert alice.patch("/v1/me", json={"name": DECOMPOSED}).json["name"] == COMPOSED


def test_a_batch_and_an_import_keep_texts_in_nfc(alice: Account) -> None:
    operation = {"op": "create", "type": "task", "id": new_id(), "body": {"title": DECOMPOSED}}
    batch = alice.post("/v1/batch", json={"operations": [operation]})
    assert batch.json["results"][0]["body"]["title"] == COMPOSED
    data = {"id": new_id(), "title": f"{DECOMPOSED}?", "description": DECOMPOSED}
    line = json.dumps({"type": "task", "data": data})
    headers = {"Content-Type": "application/jsonl"}
    imported = alice.call("POST", "/v1/import", data=line, headers=headers)
    assert imported.json["created"] == 1, imported.text
    task = alice.get(f"/v1/tasks/{data['id']}").json
    assert (task["title"], task["description"]) == (f"{COMPOSED}?", COMPOSED)


def test_a_category_has_one_name_in_whatever_form_and_letter_case(alice: Account) -> None:
    alice.create_category(name=COMPOSED)
    again = alice.post("/v1/categories", json={"name": DECOMPOSED.upper()})
    assert (again.status_code, again.json["type"]) == (409, "/problems/conflict")


def test_a_search_finds_a_text_in_whatever_form_it_is_asked_for(alice: Account) -> None:
    task = alice.create_task(title=DECOMPOSED, description=f"at the {DECOMPOSED} bar")
    for q in (COMPOSED, DECOMPOSED, DECOMPOSED.upper(), f"the {DECOMPOSED}"):
        assert walk(alice, q=q) == [task]


def test_a_patch_with_the_same_text_in_another_form_changes_nothing(alice: Account) -> None:
    task = alice.create_task(title=COMPOSED)
    same = alice.patch(f"/v1/tasks/{task['id']}", json={"title": DECOMPOSED})
    assert same.json == task


@pytest.mark.parametrize(("field", "longest"), [("title", 200), ("description", 5000)])
def test_a_text_is_measured_as_it_comes_and_as_it_is_kept(
    alice: Account, field: str, longest: int
) -> None:
    grows, shrinks = "\ufb2c", "e\u0301"  # three code points in NFC, and one
    others = {} if field == "title" else {"title": "x"}

    def answered(text: str) -> Any:
        return alice.post("/v1/tasks", json={field: text, **others})

    assert answered(shrinks * (longest // 2)).json[field] == "é" * (longest // 2)
    assert len(answered(grows * (longest // 3)).json[field]) == longest // 3 * 3
    for text in (f"{shrinks * (longest // 2)}x", grows * (longest // 3 + 1)):
        assert refused(answered(text), "string_too_long", pointer=f"/{field}")


MARKS: Final = "".join(
    chr(c) for c in range(sys.maxunicode + 1) if combining(chr(c)) or chr(c) in "\u0f73\u0f75\u0f81"
)


@settings(max_examples=300)
@given(st.text(st.one_of(st.sampled_from(MARKS), st.characters()), max_size=150))
def test_the_form_is_nfc(text: str) -> None:
    assert composed(text) == normalize("NFC", text)


def test_the_code_points_that_consist_of_marks_are_these_three() -> None:
    everything = map(chr, range(sys.maxunicode + 1))
    assert [c for c in everything if not combining(c) and combining(normalize("NFD", c)[0])] == [
        *"\u0f73\u0f75\u0f81"
    ]


@pytest.mark.parametrize(
    "text",
    ["\u0301" * 2500 + "\u0316" * 2500, "\u0301\u0316" * 2500, "\u0f73" * 5000, "\u0344" * 5000],
)
def test_long_runs_of_marks_take_no_longer_than_their_length_says(text: str) -> None:
    def taken(part: str) -> float:
        runs = []
        for _ in range(5):
            started = time.thread_time()
            composed(part)
            runs.append(time.thread_time() - started)
        return min(runs)

    assert taken(text * 20) < 20 * 4 * taken(text)


# Passwords

SENT, OTHERWISE = "Ünïcödé ①２ﬁ", normalize("NFD", "Ünïcödé ①２ﬁ")


def register(app: APIFlask, password: str) -> Any:
    body = {"email": f"{new_id()}@example.com", "password": password}
    return app.test_client().post("/v1/auth/register", json=body)


def enters(app: APIFlask, email: str, password: str) -> bool:
    body = {"email": email, "password": password}
    answer = app.test_client().post(
        "/v1/auth/token", json=body, environ_overrides={"REMOTE_ADDR": f"10.0.{len(password)}.1"}
    )
    assert answer.status_code in {200, 401}, answer.text
    return answer.status_code == 200


def test_a_password_is_the_same_from_every_keyboard(app: APIFlask) -> None:
    email = register(app, SENT).json["email"]
    assert all(enters(app, email, form) for form in (SENT, OTHERWISE, normalize("NFKC", SENT)))
    assert not enters(app, email, SENT.lower())


def test_a_password_of_the_last_release_counts_as_it_was_typed(
    app: APIFlask, connection: Any
) -> None:
    email = register(app, "another password").json["email"]
    with connection.cursor() as cursor:
        cursor.execute(
            "update users set password_hash = %s where email = %s",
            (security.generate_password_hash(OTHERWISE, "pbkdf2:sha256:1"), email),
        )
    assert enters(app, email, OTHERWISE)
    assert not enters(app, email, f"{OTHERWISE}x")


@pytest.mark.parametrize(
    ("password", "code"),
    [("e\u0301" * 7, "string_too_short"), ("\ufdfa" * 12, "string_too_long")],
)
def test_a_password_has_its_lengths_in_the_form_that_is_hashed(
    app: APIFlask, password: str, code: str
) -> None:
    assert refused(register(app, password), code, pointer="/password")


def test_an_operator_makes_an_account_whose_password_has_every_form(app: APIFlask) -> None:
    email = f"{new_id()}@example.com"
    arguments = ["users", "create", "--email", email, "--password", OTHERWISE]
    made = app.test_cli_runner().invoke(args=arguments)
    assert made.exit_code == 0, made.output
    assert enters(app, email, SENT)

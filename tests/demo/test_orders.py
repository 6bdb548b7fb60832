from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from saga_fn.demo.generate import generate_orders
from saga_fn.demo.orders import COMPLAINTS, SHIPPED_ORDERS, OrdersFileError, read_orders

GOOD = msgspec.json.encode(generate_orders(1, seed=1)[0])


def test_the_shipped_orders_are_those_of_the_generator() -> None:
    assert list(read_orders(SHIPPED_ORDERS)) == generate_orders(300, seed=7)


def test_the_same_seed_gives_the_same_orders_and_another_does_not() -> None:
    assert generate_orders(20, seed=3) == generate_orders(20, seed=3)
    assert generate_orders(20, seed=3) != generate_orders(20, seed=4)


def test_blank_lines_and_a_missing_last_newline_are_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(b"\n" + GOOD + b"\r\n  \n" + GOOD.replace(b"order-0001", b"order-0002"))
    assert [order.order_id for order in read_orders(path)] == ["order-0001", "order-0002"]


@pytest.mark.parametrize(
    "line, complaint",
    [
        (b"{", "line 2: Input data was truncated"),
        (b"not json", "line 2: JSON is malformed"),
        (b"[]", "line 2: Expected `object`, got `array`"),
        (b"{}", "line 2: Object missing required field `order_id`"),
        (b'{"order_id": "\xff"}', "line 2: "),
        (GOOD, "line 2: order_id 'order-0001' is also on line 1"),
        (GOOD.replace(b"order-0001", b"order 1"), "line 2: Expected `str` matching regex"),
        (GOOD.replace(b"order-0001", b"order-1\\n"), "line 2: Expected `str` matching regex"),
        (GOOD.replace(b'Z"', b'"'), "line 2: Expected `datetime` with a timezone component - at `$.placed_at`"),
        (GOOD.replace(b'"quantity":', b'"quantity":-'), "line 2: Expected `int` >= 1 - at `$.lines[0].quantity`"),
        (GOOD.replace(b'"customer"', b'"kustomer"'), "line 2: Object contains unknown field `kustomer`"),
    ],
)
def test_a_bad_line_is_named_with_file_and_number(tmp_path: Path, line: bytes, complaint: str) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(GOOD + b"\n" + line + b"\n")
    with pytest.raises(OrdersFileError) as caught:
        read_orders(path)
    assert caught.value.complaints[0].startswith(complaint)
    assert str(caught.value).startswith(f"{path} cannot be used:\n  line 2: ")
    assert "\nHINT: " in str(caught.value)


def test_many_bad_lines_are_counted_rather_than_listed(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(b"{}\n" * (COMPLAINTS + 3))
    with pytest.raises(OrdersFileError, match=r"line 10: .*\n  \.\.\. and 3 more\nHINT") as caught:
        read_orders(path)
    assert len(caught.value.complaints) == COMPLAINTS + 3


def test_a_missing_file_a_folder_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OrdersFileError, match="No such file"):
        read_orders(tmp_path / "nowhere.jsonl")
    with pytest.raises(OrdersFileError, match="Is a directory"):
        read_orders(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(OrdersFileError, match="it holds no order"):
        read_orders(tmp_path / "empty.jsonl")

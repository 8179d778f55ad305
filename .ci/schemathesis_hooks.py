"""The rules that the OpenAPI document states in words, because JSON Schema can't.

Requests that are meant to be valid are changed to keep these rules; those that are meant
to be invalid stay as they are. The checks of the answers are not changed.
"""

import itertools
import re

import schemathesis

calls = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.headers.get("Prefer") == "wait=20":
        case.headers["Prefer"] = "wait=2"  # twenty seconds would show no more
    if "%3F" in str(case.path_parameters.get("id", "")):
        # API Gateway cuts a path at an escaped question mark: that would be another operation.
        case.path_parameters["id"] = case.path_parameters["id"].replace("%3F", "!")
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "If-Match" in case.headers:
        case.headers["If-Match"] = "*"  # which version an order has is known to the order alone
    if case.method == "POST":
        case.headers.pop("If-None-Match", None)
    operation = case.operation.definition.raw["operationId"]
    if operation == "list-orders":
        # A cursor must come from a page; all of those begin alike.
        if not case.query.get("cursor", "").startswith("AQAAA"):
            case.query.pop("cursor", None)
    if operation == "refund-order" and isinstance(case.body, dict) and case.body.get("amount") is not None:
        # More than is left can't be refunded, and an amount needs a key.
        case.body = {**case.body, "amount": 1}
        case.headers.setdefault("Idempotency-Key", "refund")
    if "Idempotency-Key" in case.headers:
        # A key that was used belongs to an earlier request.
        case.headers["Idempotency-Key"] = f"{next(calls)}-{case.headers['Idempotency-Key']}"[:255]
    if operation == "create-webhook" and isinstance(case.body, dict):
        case.body = {**case.body, "url": "https://shop.example/hooks"}  # what a URL may be takes words
    if operation == "create-order" and isinstance(case.body, dict):
        case.body = agreeing(plain(case.body))
        # A stream lasts until its order's end, so that must not be ten minutes away.
        if str(case.body.get("paymentToken")).startswith("tok_unknown_"):
            case.body["paymentToken"] = "tok_unknown_1"


def agreeing(body):
    """The amount is the sum of the items, at least 1 and shorter than a card number."""
    items = body.get("items")
    if not items:
        return body
    total = sum(item["quantity"] * item["unitPrice"] for item in items)
    if not 1 <= total < 10**13:
        items = [{**item, "unitPrice": 1} for item in items]
        total = sum(item["quantity"] for item in items)
    body = {**body, "items": items}
    if "amount" in body:
        body["amount"] = total
    return body


def plain(value):
    """No fraction in a whole number, and nothing with the digits of a card number, 14 or more."""
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, str):
        return re.sub(r"\d(\W?\d){13,}", lambda found: "x" * len(found[0]), value)
    if isinstance(value, float):
        return plain(int(value))
    if isinstance(value, int) and value >= 10**13:
        return value // 10**3
    return value

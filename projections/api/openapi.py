"""`/openapi.json`: the private port's description for programs; `/docs`: the same as a page, without scripts."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from projections.api.answers import PRIVATE_HEADERS
from projections.api.docs_page import STYLE, write_docs_page
from projections.api.operations import JSON, OPERATIONS, Answer, Operation, Parameter
from projections.api.schemas import all_schemas, ref

_TITLE: Final = "postcall: the private port"
_DESCRIPTION: Final = (
    "On a loopback address no token is needed, and the Host header must name this machine; with POSTCALL_PRIVATE_TOKEN "
    "set, every request but those for health carries it: Authorization: Bearer TOKEN. All errors have one shape."
)
#: The page is text and one style sheet of its own; nothing else may be loaded or run.
_PAGE_HEADERS: Final = PRIVATE_HEADERS | {
    "content-security-policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


class DocsApi:
    """The description of the private port."""

    def routes(self) -> list[Route]:
        """The routes of this family."""
        return [
            Route("/openapi.json", self.tell_openapi),
            Route("/docs", self.show_docs),
            Route("/docs.css", self.send_style),
        ]

    async def tell_openapi(self, request: Request) -> Response:  # noqa: ARG002 - as the router calls it
        """The description for programs."""
        return Response(orjson.dumps(describe_api()), headers=PRIVATE_HEADERS, media_type=JSON)

    async def show_docs(self, request: Request) -> Response:  # noqa: ARG002 - as the router calls it
        """The description for people."""
        page = write_docs_page(_TITLE, _DESCRIPTION, OPERATIONS, all_schemas())
        return Response(page, headers=_PAGE_HEADERS, media_type="text/html")

    async def send_style(self, request: Request) -> Response:  # noqa: ARG002 - as the router calls it
        """How the page looks."""
        return Response(STYLE, headers=_PAGE_HEADERS, media_type="text/css")


def describe_api() -> dict[str, Any]:
    """The private port as OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe_operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": version("postcall"), "description": _DESCRIPTION},
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": dict(all_schemas()),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _describe_operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": [_describe_parameter(each) for each in operation.parameters],
        "responses": {str(answer.status): _describe_answer(answer) for answer in operation.answers}
        | {"default": _describe_answer(Answer(status=0, meaning="Any other error.", schema=ref("Error")))},
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": operation.body}}}
    if not operation.needs_token:
        described["security"] = []
    return described


def _describe_parameter(parameter: Parameter) -> dict[str, Any]:
    described = {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == "path",
        "description": parameter.meaning,
        "schema": parameter.schema,
    }
    if parameter.name.endswith(".*"):
        # An object of which each property becomes a parameter of its own.
        described |= {
            "style": "form",
            "explode": True,
            "schema": {"type": "object", "additionalProperties": parameter.schema},
        }
    return described


def _describe_answer(answer: Answer) -> dict[str, Any]:
    content = {
        kind: {"schema": answer.schema} if answer.schema is not None and kind == JSON else {}
        for kind in answer.media_types
    }
    return {"description": answer.meaning, "content": content}

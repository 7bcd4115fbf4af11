"""What dbt does for each node of a build, with little more than half of the processor time and the same results.

Most of a small build's time goes into what dbt prepares and does not use: a callable for each of 600 macros, three
times per node; the message of each event, also of those that nobody reads; templates that it has compiled before.
"""

import functools
import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import parsedatetime
from dbt.adapters.base.impl import BaseAdapter
from dbt.clients.jinja import MacroGenerator
from dbt.context.configured import ConfiguredContext
from dbt.context.macro_resolver import TestMacroNamespace
from dbt.context.macros import GLOBAL_PROJECT_NAME, MacroNamespace, MacroNamespaceBuilder
from dbt.context.manifest import ManifestContext
from dbt_common.clients.jinja import MacroFuzzEnvironment
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager
from dbt_common.tests import disable_test_caching, enable_test_caching

FIRE_EVENT = EventManager.fire_event
MAKE_EVENT = BaseEvent.__init__
CONTEXT_WITH_MACROS = ManifestContext.to_dict
COMPILE = MacroFuzzEnvironment.compile
MATCH = BaseAdapter._make_match
COMPILED: dict[tuple[type, str], Any] = {}


class Generator(MacroGenerator):
    """A macro as a callable, made in one step instead of three."""

    def __init__(self, macro, context, node, stack):
        self.macro, self.context, self.node, self.stack = macro, context, node, stack


def build_namespace(builder: MacroNamespaceBuilder, macros_by_package: dict, context: dict) -> MacroNamespace:
    """All macros, by package."""
    for package, macros in macros_by_package.items():
        node, stack = builder.node, builder.thread_ctx
        callables = {name: Generator(macro, context, node, stack) for name, macro in macros.items()}
        if package in builder.internal_package_names:
            builder.internal_packages[package] = callables
        else:
            builder.packages[package] = callables
            if package == builder.search_package:
                builder.locals = callables
            elif package == builder.root_package:
                builder.globals = callables
    internal: dict = {}
    for package in reversed(builder.internal_package_names_order):
        internal |= builder.internal_packages.get(package, {})
    return MacroNamespace(builder.globals, builder.locals, internal, builder.packages)


def context_with_macros(context: ManifestContext) -> dict[str, Any]:
    """What a template can name. Of two macros with one name, that of the node's package wins, and dbt's own loses."""
    found = context.namespace
    if isinstance(found, TestMacroNamespace):
        return CONTEXT_WITH_MACROS(context)
    names = ConfiguredContext.to_dict(context)
    names |= found.global_project_namespace
    names |= {GLOBAL_PROJECT_NAME: found.global_project_namespace} | found.packages
    names |= found.global_namespace | found.local_namespace
    return names


def make_event(event: BaseEvent, *arguments: Any, **values: Any) -> None:
    """Keep what an event's message is to be made of."""
    object.__setattr__(event, "given", (arguments, values))


def read_event(event: BaseEvent, name: str) -> Any:
    """Make an event's message when something first reads it."""
    if name != "pb_msg":
        return getattr(event.pb_msg, name)
    arguments, values = object.__getattribute__(event, "given")
    MAKE_EVENT(event, *arguments, **values)
    return object.__getattribute__(event, "pb_msg")


def fire_unless_debug(manager, event, level=None, **options):
    """Pass on an event of dbt, unless it is for debugging."""
    if (level or event.level_tag()) != EventLevel.DEBUG:
        FIRE_EVENT(manager, event, level, **options)


def compile_once(environment: MacroFuzzEnvironment, source: str) -> Any:
    """A template's code; environments of one type compile alike."""
    key = type(environment), source
    if key not in COMPILED:
        COMPILED[key] = COMPILE(environment, source)
    return COMPILED[key]


def match(adapter, relations: list, database: str, schema: str, identifier: str | None) -> list:
    """Those of the relations that have these names; dbt compares only those whose last name can be the same."""
    if identifier is not None:
        relations = [each for each in relations if (each.identifier or "").lower() == identifier.lower()]
    return MATCH(adapter, relations, database, schema, identifier)


@contextmanager
def quick_dbt(debug: bool) -> Iterator[None]:
    """dbt in this process is quicker within the context. Events for debugging are dropped, unless `debug` is true."""
    changes = [
        (MacroNamespaceBuilder, "build_namespace", build_namespace),
        (ManifestContext, "to_dict", context_with_macros),
        (BaseEvent, "__init__", make_event),
        (BaseEvent, "__getattr__", read_event),
        (MacroFuzzEnvironment, "compile", compile_once),
        (BaseAdapter, "_make_match", match),
        (parsedatetime, "Constants", functools.cache(parsedatetime.Constants)),
    ]
    if not debug:
        changes.append((EventManager, "fire_event", fire_unless_debug))
    with ExitStack() as stack:
        for owner, name, quick in changes:
            stack.enter_context(patch.object(owner, name, quick))
        stack.callback(disable_test_caching)
        enable_test_caching()
        # a build's garbage is collected after it: the contexts of all nodes are in it
        stack.callback(gc.enable)
        gc.disable()
        yield

"""Carries a template out: statements and expressions of Jinja2's syntax tree, one by one.

Nothing is compiled to Python, so a template reaches what is written here and nothing else. It calls
itself for what stands within something else, in Python's own frames only, and counts how deep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from jinja2 import nodes
from jinja2.exceptions import TemplateRuntimeError
from jinja2.nodes import Node
from jinja2.runtime import LoopContext, Undefined

from ..errors import FormatError, UnsupportedError
from . import filters, operations
from .budget import Budget, RunawayError
from .functions import Functions
from .operations import Method
from .values import Maker, Namespace, Table, Value, kind

BREAK, CONTINUE = "break", "continue"
LOOP_DEPTH = 6
"""What a loop that calls itself takes of the depth: it goes through many calls of Python's."""


def _not_offered(node: Node) -> UnsupportedError:
    return UnsupportedError(
        f"the chat template has a {type(node).__name__} in line {node.lineno}, which is not offered"
    )


class Scope:
    """Names in a block, and the block around it."""

    __slots__ = ("names", "outer")

    def __init__(self, outer: Scope | None, names: dict[str, Value] | None = None) -> None:
        self.outer = outer
        self.names: dict[str, Value] = {} if names is None else names


class Function:
    """What a template may call by a name that it has not given itself."""

    def __init__(self, name: str, call: Callable[..., Value]) -> None:
        self.name = name
        self.call = call


class Macro:
    """A macro, or what stands in a `{% call %}` block."""

    def __init__(
        self,
        name: str | None,
        node: nodes.Macro | nodes.CallBlock,
        scope: Scope,
        special: frozenset[str],
    ) -> None:
        self.name = name
        self.node = node
        self.scope = scope
        self.arguments = [argument.name for argument in node.args]
        self.special = special


class Interpreter:
    """One rendering of one template."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.maker = Maker(budget)
        self._specials: dict[Node, frozenset[str]] = {}
        offered = Functions(self.maker).offered()
        self.globals = {name: Function(name, call) for name, call in offered.items()}

    def render(self, tree: nodes.Template, context: Mapping[str, Value]) -> str:
        """The text of a template whose names are those of `context`."""
        names = {name: self.maker.admit(value) for name, value in context.items()}
        return self.capture(tree.body, Scope(Scope(None, names)))

    # --- statements ---

    def capture(self, body: list[Node], scope: Scope) -> str:
        """What a block writes."""
        out: list[str] = []
        self.run(body, scope, out)
        return self._concat(out)

    def _concat(self, texts: list[str]) -> str:
        ascii = all(map(str.isascii, texts))
        self.budget.text(sum(map(len, texts)), ascii=ascii)
        return "".join(texts)

    def run(self, body: list[Node], scope: Scope, out: list[str]) -> str | None:
        """Carry statements out; what they write is appended. BREAK or CONTINUE end it early."""
        budget = self.budget
        budget.depth -= 1
        if budget.depth < 0:
            raise RunawayError("it calls itself without an end")
        for node in body:
            budget.spend(1)
            statement = _STATEMENTS.get(type(node))
            if statement is None:
                raise _not_offered(node)
            signal = statement(self, node, scope, out)
            if signal is not None:
                break
        else:
            signal = None
        budget.depth += 1
        return signal

    def _output(self, node: nodes.Output, scope: Scope, out: list[str]) -> None:
        for part in node.nodes:
            if isinstance(part, nodes.TemplateData):
                out.append(part.data)
            else:
                out.append(self.maker.text(self.evaluate(part, scope)))
        self.budget.spend(len(node.nodes))
        self.budget.make(8 * len(node.nodes))

    def _if(self, node: nodes.If, scope: Scope, out: list[str]) -> str | None:
        for branch in (node, *node.elif_):
            if self.evaluate(branch.test, scope):
                return self.run(branch.body, scope, out)
        return self.run(node.else_, scope, out)

    def _for(self, node: nodes.For, scope: Scope, out: list[str]) -> None:
        self.loop(node, scope, self.evaluate(node.iter, scope), 0, out)

    def loop(self, node: nodes.For, scope: Scope, value: Value, depth: int, out: list[str]) -> None:
        """A loop over `value`; a recursive one calls this again."""
        items = self.maker.iterable(value)
        if node.test is not None:
            items = self._those(node, node.test, scope, value)

        def again(reciter: Value, loop_render_func: object, depth: int = 0) -> str:
            inner: list[str] = []
            self.budget.depth -= LOOP_DEPTH
            self.loop(node, scope, reciter, depth, inner)
            self.budget.depth += LOOP_DEPTH
            return self._concat(inner)

        turns = LoopContext(items, Undefined, again if node.recursive else None, depth)
        ran = False
        for item, _ in turns:
            self.budget.spend(1)
            inner = Scope(scope, {"loop": turns})
            self._assign_to(node.target, item, inner)
            signal = self.run(node.body, inner, out)
            ran = ran or signal is None  # Jinja2 notes a turn at its end
            if signal is BREAK:
                break
        if not ran:
            self.run(node.else_, Scope(scope), out)

    def _those(
        self, node: nodes.For, test: nodes.Node, scope: Scope, value: Value
    ) -> Iterator[Value]:
        for item in self.maker.paid(value):
            inner = Scope(scope)
            self._assign_to(node.target, item, inner)
            if self.evaluate(test, inner):
                yield item

    def _assign(self, node: nodes.Assign, scope: Scope, out: list[str]) -> None:
        self._assign_to(node.target, self.evaluate(node.node, scope), scope)

    def _assign_to(self, target: Node, value: Value, scope: Scope) -> None:
        if isinstance(target, nodes.Name):
            scope.names[target.name] = value
        elif isinstance(target, nodes.NSRef):
            namespace = self._look_up(target.name, scope)
            if not isinstance(namespace, Namespace):
                raise TemplateRuntimeError("cannot assign attribute on non-namespace object")
            namespace.names[target.attr] = value
        else:
            assert isinstance(target, nodes.Tuple)
            values = list(self.maker.paid(value))
            if len(values) != len(target.items):
                raise ValueError(f"{len(values)} values for {len(target.items)} names")
            for inner, one in zip(target.items, values, strict=True):
                self._assign_to(inner, one, scope)

    def _assign_block(self, node: nodes.AssignBlock, scope: Scope, out: list[str]) -> None:
        text: Value = self.capture(node.body, Scope(scope))
        if node.filter is not None:
            text = self._filtered(node.filter, text, scope)
        self._assign_to(node.target, text, scope)

    def _filter_block(self, node: nodes.FilterBlock, scope: Scope, out: list[str]) -> None:
        inner = Scope(scope)
        text = self.capture(node.body, inner)
        out.append(self.maker.text(self._filtered(node.filter, text, inner)))

    def _with(self, node: nodes.With, scope: Scope, out: list[str]) -> str | None:
        inner = Scope(scope)
        for target, value in zip(node.targets, node.values, strict=True):
            self._assign_to(target, self.evaluate(value, scope), inner)
        return self.run(node.body, inner, out)

    def _macro(self, node: nodes.Macro, scope: Scope, out: list[str]) -> None:
        self.budget.make(400)
        scope.names[node.name] = Macro(node.name, node, scope, self._special(node))

    def _special(self, node: nodes.Macro | nodes.CallBlock) -> frozenset[str]:
        """Which of the names that every macro has are used in this one."""
        if node not in self._specials:
            used = {found.name for found in node.find_all(nodes.Name)}
            taken = {argument.name for argument in node.args}
            self._specials[node] = frozenset(("caller", "kwargs", "varargs")) & used - taken
        return self._specials[node]

    def _call_block(self, node: nodes.CallBlock, scope: Scope, out: list[str]) -> None:
        caller = Macro(None, node, scope, self._special(node))
        out.append(self.maker.text(self._call(node.call, scope, caller=caller)))

    def _break(self, node: Node, scope: Scope, out: list[str]) -> str:
        return BREAK

    def _continue(self, node: Node, scope: Scope, out: list[str]) -> str:
        return CONTINUE

    # --- expressions ---

    def evaluate(self, node: Node, scope: Scope) -> Value:
        """The value of an expression."""
        budget = self.budget
        budget.depth -= 1
        budget.work -= 1
        if budget.depth < 0 or budget.work < 0:
            budget.spend(0)
            raise RunawayError("it calls itself without an end")
        expression = _EXPRESSIONS.get(type(node))
        if expression is None:
            raise _not_offered(node)
        value = expression(self, node, scope)
        budget.depth += 1
        return value

    def _constant(self, node: nodes.Const, scope: Scope) -> Value:
        return self.maker.own(node.value)

    def _data(self, node: nodes.TemplateData, scope: Scope) -> Value:
        return node.data

    def _name(self, node: nodes.Name, scope: Scope) -> Value:
        return self._look_up(node.name, scope)

    def _look_up(self, name: str, scope: Scope) -> Value:
        around: Scope | None = scope
        while around is not None:
            if name in around.names:
                return around.names[name]
            around = around.outer
        return self.globals[name] if name in self.globals else Undefined(name=name)

    def _list(self, node: nodes.List, scope: Scope) -> Value:
        return self.maker.items([self.evaluate(item, scope) for item in node.items])

    def _tuple(self, node: nodes.Tuple, scope: Scope) -> Value:
        return self.maker.pair([self.evaluate(item, scope) for item in node.items])

    def _table(self, node: nodes.Dict, scope: Scope) -> Value:
        made = {}
        for pair in node.items:
            key = self.evaluate(pair.key, scope)
            made[key] = self.evaluate(pair.value, scope)
        return self.maker.table(made)

    def _conditional(self, node: nodes.CondExpr, scope: Scope) -> Value:
        if self.evaluate(node.test, scope):
            return self.evaluate(node.expr1, scope)
        if node.expr2 is not None:
            return self.evaluate(node.expr2, scope)
        return Undefined(
            "the inline if-expression evaluated to false and no else section was defined."
        )

    def _binary(self, node: nodes.BinExpr, scope: Scope) -> Value:
        # Along the left sides, not into them: a sum may be as long as it likes.
        row: list[nodes.BinExpr] = []
        left: Node = node
        while isinstance(left, nodes.BinExpr):
            row.append(left)
            left = left.left
        value = self.evaluate(left, scope)
        for one in reversed(row):
            self.budget.spend(1)
            if isinstance(one, (nodes.And, nodes.Or)):
                if bool(value) == isinstance(one, nodes.And):
                    value = self.evaluate(one.right, scope)
            else:
                right = self.evaluate(one.right, scope)
                value = operations.compute(self.maker, one.operator, value, right)
        return value

    def _not(self, node: nodes.Not, scope: Scope) -> Value:
        return not self.evaluate(node.node, scope)

    def _negative(self, node: nodes.Neg, scope: Scope) -> Value:
        return self.maker.own(-self.evaluate(node.node, scope))

    def _positive(self, node: nodes.Pos, scope: Scope) -> Value:
        return self.maker.own(+self.evaluate(node.node, scope))

    def _compare(self, node: nodes.Compare, scope: Scope) -> Value:
        held: Value = True
        left = self.evaluate(node.expr, scope)
        for operand in node.ops:
            right = self.evaluate(operand.expr, scope)
            held = operations.compare(self.maker, operand.op, left, right)
            if not held:
                break
            left = right
        return held

    def _concatenation(self, node: nodes.Concat, scope: Scope) -> Value:
        return self._concat([self.maker.text(self.evaluate(part, scope)) for part in node.nodes])

    def _attribute(self, node: nodes.Getattr, scope: Scope) -> Value:
        value = self.evaluate(node.node, scope)
        if isinstance(value, Macro):
            found = {"name": value.name, "arguments": value.arguments}
            if node.attr in found:
                return self.maker.own(found[node.attr])
        return operations.attribute(value, node.attr)

    def _item(self, node: nodes.Getitem, scope: Scope) -> Value:
        value = self.evaluate(node.node, scope)
        if isinstance(node.arg, nodes.Slice):
            ends = (node.arg.start, node.arg.stop, node.arg.step)
            key: Value = slice(
                *(None if end is None else self.evaluate(end, scope) for end in ends)
            )
        else:
            key = self.evaluate(node.arg, scope)
        return operations.item(self.maker, value, key)

    def _filter(self, node: nodes.Filter, scope: Scope) -> Value:
        assert node.node is not None
        return self._filtered(node, self.evaluate(node.node, scope), scope)

    def _filtered(self, node: nodes.Filter, value: Value, scope: Scope) -> Value:
        if isinstance(node.node, nodes.Filter):  # of a block: several in a row
            value = self._filtered(node.node, value, scope) if self._is_open(node) else value
        args, named = self._arguments(node, scope)
        return filters.call_filter(self, node.name, value, args, named)

    def _is_open(self, node: nodes.Filter) -> bool:
        """Whether the innermost of filters in a row is applied to a block."""
        inner: Node | None = node
        while isinstance(inner, nodes.Filter):
            inner = inner.node
        return inner is None

    def _test(self, node: nodes.Test, scope: Scope) -> Value:
        value = self.evaluate(node.node, scope)
        args, named = self._arguments(node, scope)
        return filters.call_test(self, node.name, value, args, named)

    def _arguments(
        self, node: nodes.Call | nodes.Filter | nodes.Test, scope: Scope
    ) -> tuple[list[Value], dict[str, Value]]:
        args = [self.evaluate(argument, scope) for argument in node.args]
        named: dict[str, Value] = {}
        for one in node.kwargs:
            name = str(one.key)
            if name in named:
                raise FormatError(f"the chat template names an argument twice: {name!r:.60}")
            assert isinstance(one.value, Node)
            named[name] = self.evaluate(one.value, scope)
        if node.dyn_args is not None:
            args.extend(self.maker.paid(self.evaluate(node.dyn_args, scope)))
        if node.dyn_kwargs is not None:
            more = self.evaluate(node.dyn_kwargs, scope)
            if not isinstance(more, Table) or named.keys() & more.keys():
                raise TypeError("argument after ** must be a mapping of other names")
            self.budget.spend(len(more))
            named.update(more)
        self.budget.make(64 + 16 * len(args) + 60 * len(named))
        return args, named

    # --- calls ---

    def _call(self, node: nodes.Call, scope: Scope, **more: Value) -> Value:
        callee = self.evaluate(node.node, scope)
        args, named = self._arguments(node, scope)
        return self.call(callee, args, {**named, **more})

    def call(self, callee: Value, args: list[Value], named: dict[str, Value]) -> Value:
        """Call what can be called. Raises TypeError for another value."""
        self.budget.spend(2)
        if isinstance(callee, Method):
            return operations.call_method(self.maker, callee, args, named)
        if isinstance(callee, Function):
            made = callee.call(*args, **named)
            return made if isinstance(made, Namespace) else self.maker.own(made)
        if isinstance(callee, Macro):
            return self._call_macro(callee, list(args), dict(named))
        if isinstance(callee, LoopContext):
            return LoopContext.__call__(callee, *args, **named)
        if isinstance(callee, Undefined):
            callee._fail_with_undefined_error()
        raise TypeError(f"{kind(callee)!r} object is not callable")

    def is_callable(self, value: Value) -> bool:
        return isinstance(value, (Method, Function, Macro, LoopContext, Undefined))

    def _call_macro(self, macro: Macro, args: list[Value], named: dict[str, Value]) -> str:
        scope = Scope(macro.scope)
        names, values = macro.arguments, scope.names
        for name, value in zip(names, args, strict=False):
            values[name] = value
        for name in names[len(args) :]:
            if name in named:
                values[name] = named.pop(name)
        if "caller" in macro.special:
            values["caller"] = named.pop("caller", None) or Undefined(
                "No caller defined", name="caller"
            )
        extra = args[len(names) :]
        if "varargs" in macro.special:
            values["varargs"] = self.maker.pair(extra)
        elif extra:
            raise TypeError(f"macro {macro.name!r} takes not more than {len(names)} argument(s)")
        if "kwargs" in macro.special:
            values["kwargs"] = self.maker.table(named)
        elif named:
            raise TypeError(f"macro {macro.name!r} takes no keyword argument {next(iter(named))!r}")
        defaults = dict(
            zip(names[len(names) - len(macro.node.defaults) :], macro.node.defaults, strict=True)
        )
        for name in names:
            if name not in values:
                if name in defaults:
                    values[name] = self.evaluate(defaults[name], scope)
                else:
                    hint = f"parameter {name!r} was not provided"
                    values[name] = Undefined(hint, name=name)
        self.budget.make(300)
        return self.capture(macro.node.body, scope)


_STATEMENTS: dict[type[Node], Callable[..., str | None]] = {
    nodes.Output: Interpreter._output,
    nodes.If: Interpreter._if,
    nodes.For: Interpreter._for,
    nodes.Assign: Interpreter._assign,
    nodes.AssignBlock: Interpreter._assign_block,
    nodes.FilterBlock: Interpreter._filter_block,
    nodes.With: Interpreter._with,
    nodes.Macro: Interpreter._macro,
    nodes.CallBlock: Interpreter._call_block,
    nodes.Break: Interpreter._break,
    nodes.Continue: Interpreter._continue,
}
_EXPRESSIONS: dict[type[Node], Callable[..., Value]] = {
    nodes.Const: Interpreter._constant,
    nodes.TemplateData: Interpreter._data,
    nodes.Name: Interpreter._name,
    nodes.List: Interpreter._list,
    nodes.Tuple: Interpreter._tuple,
    nodes.Dict: Interpreter._table,
    nodes.CondExpr: Interpreter._conditional,
    **dict.fromkeys(
        (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow,
         nodes.And, nodes.Or),
        Interpreter._binary,
    ),
    nodes.Not: Interpreter._not,
    nodes.Neg: Interpreter._negative,
    nodes.Pos: Interpreter._positive,
    nodes.Compare: Interpreter._compare,
    nodes.Concat: Interpreter._concatenation,
    nodes.Getattr: Interpreter._attribute,
    nodes.Getitem: Interpreter._item,
    nodes.Filter: Interpreter._filter,
    nodes.Test: Interpreter._test,
    nodes.Call: Interpreter._call,
}  # fmt: skip

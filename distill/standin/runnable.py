"""The stand-in: a Runnable in the place of an app's chain, whose types it keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list
from langchain_core.runnables.graph import Graph
from langchain_core.runnables.utils import ConfigurableFieldSpec

from ...chains.task import Task
from ...store.rows import Mode
from .call import Call, Calls
from .desk import Desk
from .first import StudentFirst
from .modes import Modes
from .standing import Standing


class StandIn(Runnable[Any, Any]):
    """An app's chain with a student beside it, before it, or in its place; made by `swap`.

    In modes record and shadow every call goes to the chain as it came, and what the chain gives or
    raises is what the caller gets. In modes cascade and student the student is asked first;
    whatever it raises, the chain answers. Recording and shadowing happen off the caller's path.
    """

    def __init__(self, bound: Runnable[Any, Any], desk: Desk, modes: Modes) -> None:
        self.bound, self.desk, self.modes = bound, desk, modes
        self.first = StudentFirst(bound, desk)

    @property
    def task(self) -> Task:
        """What is asked, as it was read out of the chain: train and evaluate with it."""
        return self.desk.app.task

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        return self.modes.now().mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self.modes.set(mode)

    @property
    def counts(self) -> dict[str, int]:
        """calls, answered_by_student, escalated, student_failed, uncompared (in the shadow or to be
        checked, and recorded with one answer alone: the other was not waited for, or too many
        waited), broken_off (rows of a batch that raised, of which only the failed ones are
        recorded), recorded, shed (not recorded: too many waited), failed."""
        return self.desk.counts

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all calls so far are recorded, in the shadow with the student's answer; False
        where time ran out."""
        return self.desk.flush(timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write what waits, compared or not, and let go of the store; calls go to the chain alone,
        unrecorded. The mode that the store holds stays."""
        self.modes.close()
        return self.desk.close(timeout)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The chain's answer, or the student's, as the mode says."""
        standing = self._begin()
        if standing.asks_first:
            answer = partial(self.first.answer, standing)
            return self._call_with_config(answer, input, config, **kwargs)
        with Call(self.desk, input, shadow=standing.mode == "shadow") as call:
            call.output = self.bound.invoke(input, call.config(config), **kwargs)
        return call.output

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The same in an event loop."""
        standing = self._begin()
        if standing.asks_first:
            answer = partial(self.first.aanswer, standing)
            return await self._acall_with_config(answer, input, config, **kwargs)
        with Call(self.desk, input, shadow=standing.mode == "shadow") as call:
            call.output = await self.bound.ainvoke(input, call.config(config), **kwargs)
        return call.output

    def batch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """The same for many: the chain, and the student, see one batch."""
        standing = self._begin(len(inputs))
        kwargs["return_exceptions"] = return_exceptions
        if standing.asks_first:
            answer = partial(self.first.answer_all, standing)
            return self._batch_with_config(answer, inputs, config, **kwargs)
        with self._calls(inputs, standing) as calls:
            configs = calls.configs(get_config_list(config, len(inputs)))
            calls.outputs = self.bound.batch(inputs, configs, **kwargs)
        return calls.outputs

    async def abatch(
        self,
        inputs: list[Any],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """The same in an event loop."""
        standing = self._begin(len(inputs))
        kwargs["return_exceptions"] = return_exceptions
        if standing.asks_first:
            answer = partial(self.first.aanswer_all, standing)
            return await self._abatch_with_config(answer, inputs, config, **kwargs)
        with self._calls(inputs, standing) as calls:
            configs = calls.configs(get_config_list(config, len(inputs)))
            calls.outputs = await self.bound.abatch(inputs, configs, **kwargs)
        return calls.outputs

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """The chain's stream; a student's answer comes whole."""
        standing = self._begin()
        if standing.asks_first:
            answer = partial(self.first.answer, standing)
            yield self._call_with_config(answer, input, config, **kwargs)
            return
        with Call(self.desk, input, shadow=standing.mode == "shadow") as call:
            for chunk in self.bound.stream(input, call.config(config), **kwargs):
                call.add(chunk)
                yield chunk

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """The same in an event loop."""
        standing = self._begin()
        if standing.asks_first:
            answer = partial(self.first.aanswer, standing)
            yield await self._acall_with_config(answer, input, config, **kwargs)
            return
        with Call(self.desk, input, shadow=standing.mode == "shadow") as call:
            async for chunk in self.bound.astream(input, call.config(config), **kwargs):
                call.add(chunk)
                yield chunk

    def _begin(self, calls: int = 1) -> Standing:
        self.desk.count("calls", calls)
        return self.modes.now()

    def _calls(self, inputs: list[Any], standing: Standing) -> Calls:
        shadow = standing.mode == "shadow"
        return Calls([Call(self.desk, one, shadow=shadow) for one in inputs])

    # What the wrapped chain is to whoever looks at it.

    @property
    def InputType(self) -> Any:
        """The chain's."""
        return self.bound.InputType

    @property
    def OutputType(self) -> Any:
        """The chain's."""
        return self.bound.OutputType

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """The chain's."""
        return self.bound.config_specs

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        """The chain's."""
        return self.bound.get_name(suffix, name=name)

    def get_input_schema(self, config: RunnableConfig | None = None) -> Any:
        """The chain's."""
        return self.bound.get_input_schema(config)

    def get_output_schema(self, config: RunnableConfig | None = None) -> Any:
        """The chain's."""
        return self.bound.get_output_schema(config)

    def get_graph(self, config: RunnableConfig | None = None) -> Graph:
        """The chain's."""
        return self.bound.get_graph(config)

"""A pool of workers on a Ray cluster, with the interface of :class:`harness.core.workers.Workers`.

Calls of a model go to an actor, which keeps the model: one for each model and device, until it is
idle and another model needs its device. All other calls are plain tasks of one CPU each, several
short ones in a task. An idle actor keeps its CPU, so it runs plain calls, too.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from harness.core.errors import UserError, text_of
from harness.core.ray import remote
from harness.core.ray.cluster import Cluster
from harness.core.ray.deaths import as_ours, node_has_gone
from harness.core.ray.work import ModelActor, RayTask, Say, Starts, Submitted, contents
from harness.core.workers import Limit

_TASK_SECONDS = 2.0
"""Seconds that a task of several short calls should take. Ray needs some 10 ms for a task."""

_MOST_CALLS = 16
"""Most calls of a task."""

_LOSSES = 3
"""A call whose node has gone runs again so often on another one, before this counts as a death of
its worker."""

_LOOK_EVERY = 5.0
"""Seconds between two looks at the cluster, whose nodes come and go and are used by others."""

_WITHOUT_NODES = 120.0
"""Seconds after which calls fail if no node of the cluster has what they need."""

_Message = Submitted | RayTask | ModelActor
"""A call that was submitted, a task that ended, or an actor that has got its device."""


class RayPool:
    """Runs functions on a Ray cluster.

    Args:
        cluster: the cluster, which the pool closes.
        gpu: whether models run on GPUs. Plain calls run on CPUs.
        jobs: number of calls that run at the same time; None for as many as there are GPUs or CPUs.
        imports: see :class:`harness.core.workers.Workers`.
        say: receives a sentence for the user, in a thread of the pool.

    Attributes:
        cluster: the cluster.
        gpu: whether models run on GPUs.
    """

    def __init__(
        self, cluster: Cluster, *, gpu: bool, jobs: int | None, imports: str, say: Say
    ) -> None:
        self.cluster = cluster
        self.gpu = gpu
        self._jobs = jobs
        self._imports = imports
        self._capacity = cluster.capacity()
        # Workers on CPUs share them.
        self._share = 1 if gpu else self._capacity.cpus // self._actors_allowed
        self._messages: queue.SimpleQueue[_Message | None] = queue.SimpleQueue()
        self._waiting: list[Submitted] = []
        self._tasks: set[RayTask] = set()
        self._actors: list[ModelActor] = []
        self._pace = _TASK_SECONDS
        self._starts = Starts(cluster, say)
        self._closed = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def slots(self) -> int:
        """Number of calls that run at the same time."""
        return self._capacity.slots(gpu=self.gpu, jobs=self._jobs)

    @property
    def window(self) -> int:
        """Number of calls to submit at the same time: enough to fill tasks of several."""
        return 8 * self.slots

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        isolate: str = "",
        limit: Limit | None = None,
    ) -> Future:
        """Queue ``function(*arguments, device=...)``; see the pool of local workers.

        Raises:
            RuntimeError: the pool is closed.
        """
        if self._closed:
            raise RuntimeError("the pool of workers is closed")
        future: Future = Future()
        self._messages.put(Submitted(future, pickle.dumps((function, arguments)), isolate, limit))
        return future

    def close(self, *, kill: bool = False) -> None:
        """Stop all calls, and close the cluster. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._messages.put(None)
        self._thread.join(_LOOK_EVERY)
        with contextlib.suppress(Exception):  # the cluster can have gone
            for actor in self._actors:
                self.cluster.ray.kill(actor.handle)
            for task in self._tasks:
                if task.actor is None:
                    self.cluster.ray.cancel(task.reference, force=True)
        self.cluster.close()

    @property
    def _actors_allowed(self) -> int:
        return self._capacity.actors(gpu=self.gpu, jobs=self._jobs)

    @property
    def _tasks_allowed(self) -> int:
        return self._capacity.tasks(gpu=self.gpu, jobs=self._jobs)

    def _serve(self) -> None:
        """Start calls and receive their outcomes until the engine is closed."""
        looked = fit = time.monotonic()
        try:
            while True:
                with contextlib.suppress(queue.Empty):
                    message = self._messages.get(timeout=_LOOK_EVERY)
                    if message is None:
                        return
                    self._receive(message)
                if time.monotonic() > looked + _LOOK_EVERY:
                    looked = time.monotonic()
                    self._capacity = self.cluster.capacity()
                    self._tidy()
                    self._starts.report_delay(waiting=bool(self._tasks))
                if self._capacity.lacks(gpu=self.gpu):
                    if time.monotonic() > fit + _WITHOUT_NODES:
                        raise UserError(
                            f"The Ray cluster has {self._capacity} left. Start the same command "
                            "again when its nodes are back."
                        )
                    continue
                fit = time.monotonic()
                self._start()
        except Exception as error:  # whatever it is, no caller may wait forever
            self._fail_all(error)

    def _receive(self, message: _Message) -> None:
        if isinstance(message, Submitted):
            self._waiting.append(message)
        elif isinstance(message, ModelActor):
            message.started = True
        elif message in self._tasks:
            self._finish(message)

    def _tidy(self) -> None:
        """Take back what waits for a device in vain: nodes have gone, or others use them.

        Idle actors keep their devices, and Ray starts nothing else there.
        """
        before = time.monotonic() - _LOOK_EVERY
        pending = [actor for actor in self._actors if not actor.started and actor.since < before]
        excess = len(self._actors) + self._plain_tasks() * (not self.gpu) - self._actors_allowed
        for actor in pending[: max(excess, len(self._idle()))]:
            if actor.task:
                self._tasks.discard(actor.task)
                self._waiting[:0] = actor.task.calls
            self._forget(actor)
        if not self._waiting:
            for actor in [actor for actor in self._idle() if actor.since < before]:
                self._forget(actor)

    def _fail_all(self, error: Exception) -> None:
        """Fail all calls, and those that are still to come."""
        if not isinstance(error, UserError):
            error = UserError(f"The Ray cluster cannot be used any more: {text_of(error)}")
        calls = [*self._waiting, *(call for task in self._tasks for call in task.calls)]
        while True:
            for call in calls:
                call.future.set_exception(error)
            message = self._messages.get()
            if message is None:
                return
            calls = [message] if isinstance(message, Submitted) else []

    def _start(self) -> None:
        """Start waiting calls, as far as there is room: those first that need nothing loaded."""
        self._starts.look()
        for call in self._of_models():
            known = [actor for actor in self._idle() if actor.model == call.model]
            if known:
                self._run_on(known[0], [call])
        while calls := self._next_plain():
            if self._room_for_tasks():
                task = self.cluster.task(remote.run_calls, num_cpus=1)
                self._watch(RayTask(calls, task.remote(self.cluster.place, contents(calls), "cpu")))
            else:
                self._run_on(self._idle()[0], calls)
        for call in self._of_models():
            if self._room_for_actors():
                self._run_on(self._new_actor(call.model), [call])
            elif idle := self._idle():
                idle[0].model = call.model
                self._run_on(idle[0], [call])

    def _of_models(self) -> list[Submitted]:
        return [call for call in self._waiting if call.model]

    def _idle(self) -> list[ModelActor]:
        return [actor for actor in self._actors if actor.task is None]

    def _next_plain(self) -> list[Submitted]:
        """Return the plain calls that can start as one task; short ones share it."""
        plain = [call for call in self._waiting if not call.model]
        # An idle actor on CPUs keeps them, so it runs plain calls, too.
        room = self._room_for_tasks() + (0 if self.gpu else len(self._idle()))
        if not plain or not room:
            return []
        most = max(1, min(_MOST_CALLS, int(_TASK_SECONDS / self._pace)))
        return plain[: min(most, -(-len(plain) // room))]

    def _room_for_tasks(self) -> int:
        actors = 0 if self.gpu else len(self._actors)
        return max(0, self._tasks_allowed - self._plain_tasks() - actors)

    def _room_for_actors(self) -> int:
        tasks = 0 if self.gpu else self._plain_tasks()
        return max(0, self._actors_allowed - tasks - len(self._actors))

    def _plain_tasks(self) -> int:
        return sum(task.actor is None for task in self._tasks)

    def _new_actor(self, model: str) -> ModelActor:
        threads = max(1, min(self._share, self._capacity.smallest))
        # Ray counts the GPUs. An actor on a GPU computes little on CPUs.
        needs = {"num_gpus": 1, "num_cpus": 0} if self.gpu else {"num_cpus": threads}
        device = "cuda:0" if self.gpu else "cpu"
        kind = self.cluster.actor(remote.ModelCaller, **needs)
        actor = ModelActor(kind.remote(self.cluster.place, device, threads, self._imports), model)
        self._actors.append(actor)
        ready = actor.handle.ready.remote().future()
        ready.add_done_callback(lambda end: self._put_started(actor, end))
        return actor

    def _put_started(self, actor: ModelActor, ready: Future) -> None:
        if ready.exception() is None:
            self._messages.put(actor)

    def _run_on(self, actor: ModelActor, calls: Sequence[Submitted]) -> None:
        name, limit = calls[0].model, pickle.dumps(calls[0].limit)
        reference = actor.handle.run.remote(contents(calls), name, limit)
        actor.task = RayTask(calls, reference, actor)
        self._watch(actor.task)

    def _watch(self, task: RayTask) -> None:
        """Await the end of a task."""
        self._waiting = [call for call in self._waiting if call not in task.calls]
        self._tasks.add(task)
        self._starts.expect_another()
        task.outcome = task.reference.future()
        # The callback runs in a thread of Ray, where no call of Ray may be made.
        task.outcome.add_done_callback(lambda _: self._messages.put(task))

    def _finish(self, task: RayTask) -> None:
        """Pass the outcomes of a task on, or start its calls again if its node has gone."""
        self._tasks.discard(task)
        error = task.outcome.exception()
        if task.actor and error:
            self._forget(task.actor)
        elif task.actor:
            task.actor.task, task.actor.since = None, time.monotonic()
        if error is None:
            seconds = task.deliver()
            if not task.calls[0].model:
                self._pace = max(1e-3, seconds / len(task.calls))
            return
        gone = node_has_gone(error)
        for call in reversed(task.calls):
            call.losses += gone
            if gone and call.losses <= _LOSSES:
                self._waiting.insert(0, call)
            else:
                call.future.set_exception(as_ours(error))

    def _forget(self, actor: ModelActor) -> None:
        if actor in self._actors:
            self._actors.remove(actor)
            self.cluster.ray.kill(actor.handle)

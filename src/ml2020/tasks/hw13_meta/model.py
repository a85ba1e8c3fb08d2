"""What all learners of this homework share: the network, and how well new tasks are learnt in a few steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from ml2020.core.errors import at_least, one_of, whole_numbers
from ml2020.core.module import Module
from ml2020.tasks.hw13_meta import figures
from ml2020.tasks.hw13_meta.episodes import Episodes
from ml2020.tasks.hw13_meta.inner import errors
from ml2020.tasks.hw13_meta.networks import Conv4, Network, Perceptron

NORMS = ("batch", "support")
AT_ONCE = 8  # tasks whose maps a processor's cache holds; a GPU takes all
DRAWN = 6  # episodes in a figure

Answers = dict[int, Tensor]


class Learner(Module):
    """Meets tasks, and is judged by its answers to their queries.

    The network is a perceptron of `hidden` layers where tasks are functions, and four convolutions of `width` channels where they are
    pictures. `norm` says by which statistics batch norm goes when queries are answered: batch, those of all queries of the episode
    together (the course's and the papers' way: transductive, a query knows of the others), or support, those of the support alone.
    `test_steps`: steps of adaptation after which validation judges; the test also looks after each of `measured`.

    A learner gives `learn`, what a batch of episodes teaches, and `answers`.
    """

    network: Network
    suits: ClassVar[dict[str, tuple]] = {"test_steps": (1, 5)}  # for functions, for pictures, where a value is None

    def __init__(
        self,
        hidden: Sequence[int] = (40, 40),
        width: int = 32,
        norm: str = "batch",
        test_steps: int | None = None,
        measured: Sequence[int] = (0, 1, 2, 5, 10),
    ) -> None:
        super().__init__()
        self.hidden = whole_numbers(hidden, "model.hidden")
        self.width = at_least(8, width, "model.width")
        self.norm = one_of(NORMS, norm, "model.norm")
        self.test_steps = test_steps if test_steps is None else at_least(0, test_steps, "model.test_steps")
        self.measured = whole_numbers(measured, "model.measured", least=0, empty=True)
        self.scores: dict[int, list[Tensor]] = {}

    def configure(self, spec: dict[str, Any]) -> None:
        """The network, and what the learner has besides (`build`)."""
        self.spec, self.ways = spec, spec["ways"]
        self.test_steps = self.by_kind(self.test_steps, *self.suits["test_steps"])
        self.network = self.make(self.ways or 1)
        self.build()

    def make(self, outputs: int) -> Network:
        """A network with so many outputs."""
        inputs = self.spec["input"]
        return Conv4(inputs, self.width, outputs) if len(inputs) == 3 else Perceptron(inputs[0], self.hidden, outputs)

    def build(self) -> None:
        """Make what the learner has besides its network."""

    def by_kind(self, value: Any, functions: Any, pictures: Any) -> Any:
        """`value`, or where it is None what suits the tasks."""
        return (pictures if self.ways else functions) if value is None else value

    def learn(self, episodes: Episodes) -> tuple[Tensor, Tensor]:
        """The loss of some episodes, a mean over them, and their queries' last answers (tasks, m, outputs)."""
        raise NotImplementedError

    def answers(self, episodes: Episodes, steps: Sequence[int]) -> Answers:
        """{step: answers to the queries (tasks, m, outputs)} after each number of steps of adaptation, which ascend."""
        raise NotImplementedError

    def query(self, weights: Any, episodes: Episodes, network: Callable[..., Tensor] | None = None) -> Tensor:
        """Answers to the queries, by the statistics that `norm` names."""
        network = network or self.network
        if self.norm == "batch" or not self.ways:
            return network(weights, episodes.query)
        n = episodes.support.shape[1]
        return network(weights, torch.cat([episodes.support, episodes.query], 1), n)[:, n:]

    def forward(self, x: Tensor) -> Tensor:
        """Examples of one task, (n, *shape), answered by the weights that every task begins with."""
        return self.network(self.network.start(1), x.unsqueeze(0))[0]

    # Training.

    def loss(self, episodes: Episodes) -> Tensor:
        """The mean over the episodes, a few of which are taken at a time: their graph is gone before that of the next is made."""
        count = len(episodes.support)
        size = AT_ONCE if self.ways and self.device.type == "cpu" else count
        trained = [p for p in self.parameters() if p.requires_grad]
        gradients, values, scores = [torch.zeros_like(p) for p in trained], [], []
        for part in zip(*(tensor.split(size) for tensor in episodes), strict=True):
            part = Episodes(*part)
            loss, answers = self.learn(part)
            loss = loss * (len(part.support) / count)
            for total, g in zip(gradients, torch.autograd.grad(loss, trained, allow_unused=True), strict=True):
                if g is not None:
                    total += g
            values.append(loss.detach())
            scores.append(score(answers.detach(), part.query_targets))
        self.log_row(**{self.measure: torch.cat(scores).mean()})
        return handed_on(torch.stack(values).sum(), trained, gradients)

    @property
    def measure(self) -> str:
        return "acc" if self.ways else "mse"

    @property
    def progress(self) -> float:
        """The share of the training that is over, in [0, 1)."""
        return 0.0 if self._trainer is None or self.plan is None else min(1.0, self.trainer.global_step / self.plan.steps)

    # Measuring.

    def adapted(self, batch: Sequence[Tensor], steps: Sequence[int]) -> tuple[Episodes, Answers]:
        """Episodes and answers, while Lightning has gradients turned off."""
        with torch.inference_mode(False), torch.enable_grad():
            episodes = Episodes(*(tensor.clone() for tensor in batch))
            return episodes, {step: answers.detach() for step, answers in self.answers(episodes, steps).items()}

    def evaluate_step(self, batch: tuple[Tensor, ...]) -> None:
        """Adapt to each episode, and score its queries after some numbers of steps."""
        steps = sorted({self.test_steps, *(self.measured if self.split == "test" else ())})
        episodes, answers = self.adapted(batch, steps)
        for step, given in answers.items():
            self.scores.setdefault(step, []).append(score(given, episodes.query_targets))

    def evaluate_end(self) -> dict[str, float]:
        """acc or mse after `test_steps`, and interval, half of its 95 % interval over the episodes; of a test also after others."""
        scores, self.scores = {step: torch.cat(parts) for step, parts in self.scores.items()}, {}
        values = {self.measure: float(scores[self.test_steps].mean()), "interval": interval(scores[self.test_steps])}
        if self.split == "test":
            self.over_steps = {step: (float(s.mean()), interval(s)) for step, s in scores.items()}
            values |= {f"{self.measure}_{step}": mean for step, (mean, _) in self.over_steps.items()}
        return values

    def figures(self, data: Any, history: Any) -> Iterator[tuple[str, Figure]]:
        """Training; score against steps; some of the test's tasks, before and after adapting."""
        yield "training", figures.training(history, self.measure)
        yield "steps", figures.steps(self.over_steps, self.measure)
        batch = [tensor[:DRAWN] for tensor in next(iter(data.measured("test")))]
        shown = sorted({0, 1, self.test_steps, *self.measured[-1:]}) if self.measured else [self.test_steps]
        episodes, answers = self.adapted([tensor.to(self.device) for tensor in batch], shown)
        given = {step: a.cpu().numpy() for step, a in answers.items()}
        arrays = Episodes(*(tensor.cpu().numpy() for tensor in episodes))
        if self.ways:
            told = given[self.test_steps][0].argmax(1)
            yield "episode", figures.episode(arrays.support[0], arrays.query[0], arrays.query_targets[0], told)
        else:
            yield "functions", figures.functions(arrays, given)


def score(answers: Tensor, targets: Tensor) -> Tensor:
    """Of each task, (tasks,): the share of right answers, or the mean squared error."""
    if targets.is_floating_point():
        return errors(answers, targets)
    return (answers.argmax(2) == targets).double().mean(1)


def interval(scores: Tensor) -> float:
    """Half of the 95 % interval of a mean over episodes."""
    return 1.96 * float(scores.std()) / len(scores) ** 0.5 if len(scores) > 1 else 0.0


def handed_on(value: Tensor, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> Tensor:
    """A scalar with this value, whose gradients in the parameters are these."""
    linear = sum((p * g).sum() for p, g in zip(parameters, gradients, strict=True))
    return value + (linear - linear.detach())

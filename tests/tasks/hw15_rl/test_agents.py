"""The agents against finite differences, dynamic programming and numbers worked out by hand."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from ml2020.core.errors import TypedError
from ml2020.nn.perceptron import perceptron
from ml2020.tasks.hw15_rl import environments
from ml2020.tasks.hw15_rl.actor import Actor
from ml2020.tasks.hw15_rl.actor_critic import A2C
from ml2020.tasks.hw15_rl.critic import Samples
from ml2020.tasks.hw15_rl.dqn import DQN, Dueling, Replay
from ml2020.tasks.hw15_rl.fleet import Episode, Fleet, Rollout
from ml2020.tasks.hw15_rl.networks import log_chances
from ml2020.tasks.hw15_rl.ppo import PPO
from ml2020.tasks.hw15_rl.reinforce import Reinforce

SPEC = {"env": "CartPole-v1", "observation": 4, "actions": 2, "limit": 500, "solved": 475.0}


def made(kind: Any, spec: dict[str, Any] = SPEC, **options: Any) -> Any:
    torch.manual_seed(0)
    agent = kind(**options)
    agent.configure(spec)
    return agent


# What acts.


@pytest.mark.parametrize("width", [[], [7], [64, 64]])
def test_the_actor_in_numpy_is_the_network(width: list[int]):
    torch.manual_seed(0)
    net = perceptron(8, width, 4)
    x = torch.randn(50, 8)
    assert np.abs(Actor(net)(x.numpy()) - net(x).detach().numpy()).max() < 1e-6


@pytest.mark.parametrize("width", [[], [64, 32]])
def test_a_dueling_network_is_one_matrix_behind_its_trunk(width: list[int]):
    torch.manual_seed(0)
    net = Dueling(8, width, 4)
    x = torch.randn(50, 8)
    assert np.abs(Actor(net.folded())(x.numpy()) - net(x).detach().numpy()).max() < 1e-6
    assert torch.allclose(net(x).mean(1), net.value(net.trunk(x))[:, 0], atol=1e-6)  # the advantages have mean 0


def test_an_actor_made_after_an_update_has_the_new_weights():
    agent = made(PPO)
    x = np.ones((3, 4), np.float32)
    before = agent.actor()(x).copy()
    with torch.no_grad():
        agent.policy[-1].bias += 1.0
    assert np.allclose(agent.actor()(x), before + 1.0, atol=1e-6)


def test_drawn_actions_have_the_chances_of_the_softmax():
    agent = made(PPO, SPEC | {"actions": 3})
    with torch.no_grad():
        agent.policy[-1].bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
        agent.policy[-1].weight.zero_()
    draw = agent.actor().sampler(np.random.default_rng(0), 100, 3)
    taken = np.concatenate([draw(np.zeros((100, 4), np.float32)) for _ in range(400)])
    shares, chances = np.bincount(taken) / 40_000, np.exp([0, 1, -1]) / np.exp([0, 1, -1]).sum()
    assert np.abs(shares - chances).max() < 4 * np.sqrt(0.25 / 40_000)


# The policy gradient: two states, two actions, three steps. In state s action a pays PAYS[s][a] and leads to state a.

PAYS = [[1.0, -0.5], [0.3, 2.0]]
LENGTH = 3


def episode(actions: tuple[int, ...]) -> Episode:
    states = (0, *actions[:-1])
    seen = np.eye(2, dtype=np.float32)
    rewards = np.array([PAYS[s][a] for s, a in zip(states, actions, strict=True)], np.float32)
    return Episode(seen[list(states)], np.array(actions), rewards, False, seen[actions[-1]])


ALL = [episode(actions) for actions in itertools.product((0, 1), repeat=LENGTH)]


def chances(agent: Reinforce) -> list[torch.Tensor]:
    """The probability of each of the eight episodes."""
    return [
        log_chances(agent.policy(torch.from_numpy(one.observations).double()), torch.from_numpy(one.actions))[0].sum().exp()
        for one in ALL
    ]


@pytest.mark.parametrize("credit", ["total", "to_go", "advantage"])
def test_the_policy_gradient_is_that_of_finite_differences(credit: str):
    # The expected gradient over all episodes, each with its probability, against the change of the expected return. A baseline leaves
    # the expectation alone; with gamma = 1 so does crediting only the rewards that follow.
    spec = {"env": "two", "observation": 2, "actions": 2, "limit": None, "solved": None}
    agent = made(Reinforce, spec, credit=credit, normalize=False, gamma=1.0, hidden=[3]).double()
    with torch.no_grad():
        for w in agent.policy.parameters():
            w.normal_(0, 0.7)
    parameters = list(agent.policy.parameters())
    found = [torch.zeros_like(w) for w in parameters]
    for one, chance in zip(ALL, chances(agent), strict=True):
        x = torch.from_numpy(one.observations).double()
        credits = torch.from_numpy(agent.credits(one))
        if agent.critic is not None:
            credits = credits - agent.values_of(x)
        logs, _ = log_chances(agent.policy(x), torch.from_numpy(one.actions))
        for total, gradient in zip(found, torch.autograd.grad((logs * credits).sum(), parameters), strict=True):
            total += chance.detach() * gradient

    def expected_return() -> float:
        return sum(float(chance) * float(one.rewards.astype(np.float64).sum()) for one, chance in zip(ALL, chances(agent), strict=True))

    for w, gradient in zip(parameters, found, strict=True):
        for place in np.ndindex(*w.shape):
            with torch.no_grad():
                w[place] += 1e-5
                above = expected_return()
                w[place] -= 2e-5
                below = expected_return()
                w[place] += 1e-5
            assert float(gradient[place]) == pytest.approx((above - below) / 2e-5, abs=1e-7)


def test_credit_is_given_as_its_name_says():
    one = Episode(
        np.zeros((3, 4), np.float32), np.zeros(3, np.int64), np.array([1.0, 2.0, 4.0], np.float32), True, np.ones(4, np.float32)
    )
    assert made(Reinforce, credit="total").credits(one).tolist() == [7, 7, 7]
    assert made(Reinforce, credit="to_go").credits(one).tolist() == [7, 6, 4]
    assert made(Reinforce, credit="discounted", gamma=0.5).credits(one).tolist() == [3, 4, 4]
    assert made(Reinforce, credit="discounted", gamma=0.5, reward_scale=0.1).credits(one) == pytest.approx([0.3, 0.4, 0.4])
    agent = made(Reinforce, credit="advantage", gamma=0.5, time_limit="bootstrap")
    with torch.no_grad():
        agent.critic[-1].weight.zero_(), agent.critic[-1].bias.fill_(8.0)
    assert agent.credits(one).tolist() == [4, 6, 8]
    with pytest.raises(TypedError, match=r"type model\.credit=advantage"):
        Reinforce(credit="to_go", time_limit="bootstrap")


# Actor and critic: on a slippery frozen lake, whose transitions gymnasium gives, with actions drawn evenly.


def lake(gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Exact V (16,) and Q (16, 4) of the policy that draws evenly."""
    table = gymnasium.make("FrozenLake-v1").unwrapped.P
    moves, pays = np.zeros((16, 4, 16)), np.zeros((16, 4))
    for s, a in np.ndindex(16, 4):
        for chance, after, reward, over in table[s][a]:
            pays[s, a] += chance * reward
            moves[s, a, after] += chance * (not over)
    values = np.linalg.solve(np.eye(16) - gamma * moves.mean(1), pays.mean(1))
    return values, pays + gamma * moves @ values


def test_advantages_are_those_of_dynamic_programming_on_the_average():
    gamma = 0.95
    values, q = lake(gamma)
    spec = environments.facts(environments.make("FrozenLake-v1"))
    agent = made(A2C, spec, hidden=[], lam=0.7, gamma=gamma, time_limit="bootstrap")
    with torch.no_grad():
        agent.policy[0].weight.zero_()
        agent.critic[0].weight.copy_(torch.from_numpy(values)[None])
    fleet = agent.open(20).seed(range(20))
    rollout = fleet.rollout(2_000, agent.actor().sampler(np.random.default_rng(0), 20, 4))
    samples = agent.judge(rollout)
    states = samples.observations.argmax(1).numpy()
    for s, a in np.ndindex(16, 4):
        here = samples.advantages[(states == s) & (samples.actions.numpy() == a)].numpy()
        if len(here) > 300:
            error = here.std() / np.sqrt(len(here))  # a little too small: steps of one episode share what comes later
            assert here.mean() == pytest.approx(q[s, a] - values[s], abs=6 * error + 1e-6)
    often = [int((states == s).sum()) for s in range(16)]
    assert sum(n > 1_200 for n in often) >= 5  # enough states were met for this to mean something
    assert torch.allclose(samples.logs, torch.full_like(samples.logs, -np.log(4)), atol=1e-6)


@pytest.mark.parametrize(("time_limit", "expected"), [("end", 1.0), ("observed", 1.0), ("bootstrap", 1.0 + 0.5 * 3.0)])
def test_a_cut_is_worth_what_the_option_says(time_limit: str, expected: float):
    agent = made(A2C, gamma=0.5, lam=0.0, time_limit=time_limit, hidden=[])
    with torch.no_grad():
        agent.critic[0].weight.zero_(), agent.critic[0].bias.fill_(3.0)
    size = agent.inputs
    zeros, no = np.zeros((1, 1, size), np.float32), np.zeros((1, 1), bool)
    rollout = Rollout(zeros, np.zeros((1, 1), np.int64), np.ones((1, 1), np.float32), no, ~no, zeros[0], zeros[0])
    assert float(agent.judge(rollout).returns[0]) == pytest.approx(expected)


def test_ppo_stops_where_the_ratio_leaves_its_range():
    # One state, even chances now; the policy that acted gave the action p_old, so the ratio is 0.5 / p_old.
    agent = made(PPO, hidden=[], clip=0.2, entropy=0.0)
    with torch.no_grad():
        agent.policy[0].weight.zero_(), agent.critic[0].weight.zero_()
    old = torch.tensor([0.5, 0.25, 0.25, 0.8])  # ratios 1, 2, 2, 0.625
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0])  # mean 0, deviation 1
    batch = Samples(torch.zeros(4, 4), torch.zeros(4, dtype=torch.int64), advantages, torch.zeros(4), old.log(), torch.zeros(4))
    loss, said = agent.surrogate(batch)
    gain = (1 + 1.2 - 2 - 0.8) / 4  # 2 is clipped to 1.2 where it gains, not where it loses; 0.625 to 0.8
    assert float(loss) == pytest.approx(-gain, abs=1e-6)
    assert float(said["kl"]) == pytest.approx(np.mean([r - 1 - np.log(r) for r in (1, 2, 2, 0.625)]), abs=1e-6)
    assert float(said["clipped"]) == 0.75


def test_at_the_policy_that_acted_ppo_has_the_policy_gradient():
    agent = made(PPO, hidden=[5], entropy=0.0)
    x, actions = torch.randn(30, 4), torch.randint(2, (30,))
    advantages = torch.randn(30)
    logs, _ = log_chances(agent.policy(x), actions)
    loss, _ = agent.surrogate(Samples(x, actions, advantages, torch.zeros(30), logs.detach(), torch.zeros(30)))
    normal = (advantages - advantages.mean()) / advantages.std(correction=0)
    expected = torch.autograd.grad(-(logs * normal).mean(), list(agent.policy.parameters()))
    for one, two in zip(torch.autograd.grad(loss, list(agent.policy.parameters())), expected, strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_the_weight_of_the_entropy_falls():
    agent = made(PPO, entropy=0.02, entropy_end=0.25)
    agent.plan = type("Plan", (), {"steps": 10})()
    assert agent.bonus == pytest.approx(0.02)
    agent.updates += 5
    assert agent.bonus == pytest.approx(0.02 * (0.25 + 0.75 * 0.5))
    agent.updates += 5
    assert agent.bonus == pytest.approx(0.005)


# Q-learning.


def test_the_memory_keeps_the_last_steps():
    replay = Replay(5, 1)
    for start in (0, 3, 6):
        rows = np.arange(start, start + 3)
        column = rows[:, None].astype(np.float32)
        replay.add(observations=column, actions=rows, rewards=rows.astype(np.float32), following=column + 1, over=rows % 2 == 0)
    assert sorted(replay.arrays["actions"].tolist()) == [4, 5, 6, 7, 8]
    drawn = replay.draw(np.random.default_rng(0), 200)
    assert set(drawn["actions"].tolist()) == {4, 5, 6, 7, 8}
    assert np.array_equal(drawn["following"][:, 0], drawn["actions"] + 1) and np.array_equal(drawn["over"], drawn["actions"] % 2 == 0)
    again = Replay(5, 1)
    again.load_state_dict(replay.state_dict())
    assert again.count == 9 and all(np.array_equal(again.arrays[name], array) for name, array in replay.arrays.items())


@pytest.mark.parametrize(("double", "goal"), [(True, 1 + 0.5 * 3.0), (False, 1 + 0.5 * 7.0)])
def test_the_target_is_judged_by_the_copy(double: bool, goal: float):
    # Biases alone: the network prefers action 1, to which its copy gives 3; the copy prefers action 0, with 7.
    agent = made(DQN, hidden=[], double=double, dueling=False, gamma=0.5)
    with torch.no_grad():
        for net, biases in ((agent.policy, [0.0, 0.4]), (agent.target, [7.0, 3.0])):
            net[0].weight.zero_(), net[0].bias.copy_(torch.tensor(biases))
    batch = {
        "observations": torch.zeros(2, 4),
        "actions": torch.tensor([1, 1]),
        "rewards": torch.tensor([1.0, 1.0]),
        "following": torch.zeros(2, 4),
        "over": torch.tensor([0.0, 1.0]),
    }
    loss, q = agent.error(batch)
    assert float(loss) == pytest.approx(((goal - 0.4 - 0.5) + (0.6**2 / 2)) / 2)  # Huber: linear beyond 1
    assert float(q) == pytest.approx(0.4)


@pytest.mark.parametrize(("time_limit", "over"), [("end", [1, 1, 0]), ("bootstrap", [1, 0, 0])])
def test_what_is_remembered_of_an_end_and_of_a_cut(time_limit: str, over: list[int]):
    agent = made(DQN, time_limit=time_limit, reward_scale=0.5)
    seen = np.arange(12, dtype=np.float32).reshape(3, 1, 4)
    terminated, cut = np.array([[True], [False], [False]]), np.array([[False], [True], [False]])
    finals, last = np.full((1, 4), -1, np.float32), np.full((1, 4), 99, np.float32)
    agent.remember(Rollout(seen, np.array([[0], [1], [0]]), np.full((3, 1), 2, np.float32), terminated, cut, finals, last))
    kept = {name: array[:3] for name, array in agent.replay.arrays.items()}
    assert kept["over"].tolist() == over and kept["rewards"].tolist() == [1, 1, 1]
    assert kept["following"][1].tolist() == [-1] * 4 and kept["following"][2].tolist() == [99] * 4


def test_q_learning_finds_the_values_of_dynamic_programming():
    gamma = 0.9
    env = environments.make("FrozenLake-v1", is_slippery=False)
    table, states = env.unwrapped.P, np.eye(16, dtype=np.float32)
    best = np.zeros((16, 4))
    for _ in range(200):  # value iteration
        for s, a in np.ndindex(16, 4):
            ((_, after, reward, over),) = table[s][a]
            best[s, a] = reward + gamma * (not over) * best[after].max()
    agent = made(DQN, environments.facts(env), hidden=[], gamma=gamma, memory=64, warm_up=0, envs=1)
    for s, a in np.ndindex(16, 4):
        ((_, after, reward, over),) = table[s][a]
        one = {"observations": states[[s]], "actions": np.array([a]), "rewards": np.array([reward]), "following": states[[after]]}
        agent.replay.add(**one, over=np.array([over]))
    batch = {name: torch.from_numpy(array) for name, array in agent.replay.arrays.items()}
    optimizer = torch.optim.Adam(agent.policy.parameters(), 0.05)
    for step in range(1_200):
        optimizer.zero_grad()
        agent.error(batch)[0].backward()
        optimizer.step()
        if step % 40 == 39:
            agent.target.load_state_dict(agent.policy.state_dict())
    assert agent.policy(torch.eye(16)).detach().numpy() == pytest.approx(best, abs=0.01)
    assert agent.values(states) == pytest.approx(best.max(1), abs=0.01)


def test_blind_actions_become_fewer():
    agent = made(DQN, epsilon=0.1, exploring=0.5)
    with torch.no_grad():
        agent.policy.advantage.bias.copy_(torch.tensor([50.0, 0.0]))
    agent.plan = type("Plan", (), {"steps": 100})()
    x = np.zeros((20_000, 4), np.float32)
    for updates, share in ((0, 1.0), (25, 0.55), (50, 0.1), (100, 0.1)):
        agent.updates.fill_(updates)
        blind = agent.explorer(agent.actor(), np.random.default_rng(0), 1)(x)
        assert blind.mean() == pytest.approx(share / 2, abs=0.02)  # half of the blind ones are the other action


def test_a_fleet_of_an_agent_shows_what_its_network_takes():
    agent = made(PPO, time_limit="observed")
    fleet = agent.open(2).seed([0, 1])
    assert isinstance(fleet, Fleet) and fleet.observations.shape == (2, 5) == (2, agent.policy[0].in_features)

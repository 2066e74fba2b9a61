"""Models, and what trains them: they go on exactly where they stopped."""

from tests.probes import Probe

_TRAIN = """
import torch, copy
class {n}_Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__(); self.body = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.BatchNorm1d(width), torch.nn.Dropout(0.5)); self.head = torch.nn.Linear(width, 1); self.register_buffer('steps', torch.zeros(1)); self.register_buffer('quiet', torch.ones(1), persistent=False)
    def forward(self, x):
        self.steps += 1; return self.head(self.body(x).relu())
def {n}_epoch(model, optimiser, scheduler):
    optimiser.zero_grad(); loss = model({n}_x).pow(2).mean(); loss.backward(); optimiser.step(); scheduler.step()
    return loss.item()
{n}_x = torch.randn(8, 3); {n} = {n}_Net(4)
{n}_o = {o}; {n}_s = {s}
for _ in range(3): {n}_epoch({n}, {n}_o, {n}_s)
{n}_rng = torch.get_rng_state(); {n}_all = copy.deepcopy(({n}, {n}_o, {n}_s)); {n}_expected = [{n}_epoch(*{n}_all) for _ in range(3)]; del {n}_all; torch.set_rng_state({n}_rng)
"""

_CHECK = """
import warnings
assert {n}_o.param_groups[0]['params'][0] is {n}.body[0].weight and {n}_s.optimizer is {n}_o and {n}.steps.item() == 3 and {n}.body[0].weight in {n}_o.state
torch.set_rng_state({n}_rng)
with warnings.catch_warnings():
    warnings.simplefilter('error'); assert [{n}_epoch({n}, {n}_o, {n}_s) for _ in range(3)] == {n}_expected
"""


def _training(name: str, optimiser: str, scheduler: str) -> Probe:
    o, s = (
        optimiser.format(p=f"{name}.parameters()"),
        f"torch.optim.lr_scheduler.{scheduler.format(o=f'{name}_o')}",
    )
    return Probe(name, _TRAIN.format(n=name, o=o, s=s), _CHECK.format(n=name))


PROBES = [
    _training("tr_adam", "torch.optim.Adam({p}, lr=.1, amsgrad=True)", "StepLR({o}, 2)"),
    _training(
        "tr_sgd", "torch.optim.SGD({p}, lr=.1, momentum=.9, nesterov=True)", "CosineAnnealingLR({o}, 10)"
    ),
    _training(
        "tr_adamw", "torch.optim.AdamW({p}, foreach=True)", "OneCycleLR({o}, max_lr=.1, total_steps=20)"
    ),
    _training("tr_rmsprop", "torch.optim.RMSprop({p})", "LambdaLR({o}, lambda epoch: .9 ** epoch)"),
    _training(
        "tr_adagrad",
        "torch.optim.Adagrad({p})",
        "SequentialLR({o}, [torch.optim.lr_scheduler.ConstantLR({o}), torch.optim.lr_scheduler.ExponentialLR({o}, .9)], [2])",
    ),
    _training("tr_nadam", "torch.optim.NAdam({p})", "CyclicLR({o}, .01, .1, cycle_momentum=False)"),
    Probe(
        "tr_lbfgs",
        "import torch\ntr_lbfgs_w = torch.nn.Parameter(torch.tensor([3., -2.])); tr_lbfgs = torch.optim.LBFGS([tr_lbfgs_w], lr=.1, max_iter=2)\ndef tr_lbfgs_loss():\n    tr_lbfgs.zero_grad(); loss = ((tr_lbfgs_w - 1) ** 4).sum(); loss.backward(); return loss\nfor _ in range(2): _ = tr_lbfgs.step(tr_lbfgs_loss).item()",
        "before = tr_lbfgs_w.detach().clone(); tr_lbfgs.step(tr_lbfgs_loss); assert not torch.equal(before, tr_lbfgs_w) and tr_lbfgs.param_groups[0]['params'][0] is tr_lbfgs_w",
    ),
    Probe(
        "tr_plateau",
        "import torch\ntr_plateau_w = torch.nn.Parameter(torch.ones(2)); tr_plateau_o = torch.optim.SGD([tr_plateau_w], lr=1.); tr_plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(tr_plateau_o, patience=1)\nfor _ in range(2): tr_plateau.step(1.)",
        "tr_plateau.step(1.); assert tr_plateau_o.param_groups[0]['lr'] == .1, tr_plateau_o.param_groups[0]['lr']",
    ),
    Probe(
        "tr_optimiser_hooks",
        "import torch\ntr_hooks_w = torch.nn.Parameter(torch.ones(2)); tr_hooks_log = []; tr_optimiser_hooks = torch.optim.SGD([tr_hooks_w], lr=.1)\ntr_hooks_pre = tr_optimiser_hooks.register_step_pre_hook(lambda *_: tr_hooks_log.append('pre')); tr_optimiser_hooks.register_step_post_hook(lambda *_: tr_hooks_log.append('post')); tr_optimiser_hooks.register_state_dict_post_hook(lambda *_: tr_hooks_log.append('dict')); tr_optimiser_hooks.note = ['mine']",
        "tr_hooks_w.grad = torch.ones(2); tr_optimiser_hooks.step(); assert tr_hooks_log == ['pre', 'post'] and tr_optimiser_hooks.note == ['mine']\ntr_hooks_pre.remove(); tr_optimiser_hooks.step(); assert tr_hooks_log == ['pre', 'post', 'post']; tr_optimiser_hooks.state_dict(); assert tr_hooks_log[-1] == 'dict'",
    ),
    Probe(
        "tr_optimiser_alone",
        "import torch\ntr_optimiser_alone_m = torch.nn.Linear(2, 1); tr_optimiser_alone = torch.optim.Adam(tr_optimiser_alone_m.parameters())\n----\ntr_optimiser_alone_m(torch.ones(2)).sum().backward(); tr_optimiser_alone.step()\n----\nfor group in tr_optimiser_alone.param_groups: group['lr'] = .5\ndel group",
        "assert tr_optimiser_alone.param_groups[0]['lr'] == .5 and tr_optimiser_alone.param_groups[0]['params'] == [] or all(a is b for a, b in zip(tr_optimiser_alone.param_groups[0]['params'], tr_optimiser_alone_m.parameters()))\nassert tr_optimiser_alone.state[tr_optimiser_alone_m.weight]['step'].item() == 1\ntr_optimiser_alone.zero_grad(); assert tr_optimiser_alone_m.weight.grad is None",
    ),
    Probe(
        "tr_own_optimiser",
        "import torch\nclass tr_own_optimiser_O(torch.optim.Optimizer):\n    def __init__(self, params, lr): super().__init__(params, {'lr': lr}); self.calls = []\n    @torch.no_grad()\n    def step(self):\n        self.calls.append(1)\n        for group in self.param_groups:\n            for p in group['params']: p -= group['lr'] * p.grad\ntr_own_optimiser_w = torch.nn.Parameter(torch.ones(2)); tr_own_optimiser = tr_own_optimiser_O([tr_own_optimiser_w], .5); tr_own_optimiser_w.grad = torch.ones(2); tr_own_optimiser.step()",
        "tr_own_optimiser.step(); assert tr_own_optimiser.calls == [1, 1] and tr_own_optimiser_w.tolist() == [0, 0] and type(tr_own_optimiser) is tr_own_optimiser_O",
    ),
    Probe(
        "tr_step_in_backward",
        "import torch\ntr_step_m = torch.nn.Linear(2, 1, bias=False); tr_step_in_backward = {p: torch.optim.SGD([p], lr=.1) for p in tr_step_m.parameters()}\ndef tr_step_hook(p): tr_step_in_backward[p].step(); tr_step_in_backward[p].zero_grad()\nfor p in tr_step_m.parameters(): p.register_post_accumulate_grad_hook(tr_step_hook)\ndel p; tr_step_before = tr_step_m.weight.detach().clone()",
        "tr_step_m(torch.ones(2)).sum().backward(); assert torch.allclose(tr_step_m.weight, tr_step_before - .1) and tr_step_m.weight.grad is None",
    ),
    Probe(
        "tr_tied",
        "import torch\nclass tr_tied_LM(torch.nn.Module):\n    def __init__(self):\n        super().__init__(); self.embed = torch.nn.Embedding(5, 3); self.out = torch.nn.Linear(3, 5, bias=False); self.out.weight = self.embed.weight\ntr_tied = tr_tied_LM(); tr_tied_w = tr_tied.embed.weight; tr_tied_params = dict(tr_tied.named_parameters()); tr_tied_vector = torch.nn.utils.parameters_to_vector(tr_tied.parameters()).detach()",
        "assert tr_tied.out.weight is tr_tied.embed.weight is tr_tied_w is tr_tied_params['embed.weight'] and len(list(tr_tied.parameters())) == 1\nwith torch.no_grad(): tr_tied_w.fill_(3.)\nassert tr_tied.out(torch.ones(3))[0] == 9 and tr_tied_vector[0] != 3",
    ),
    Probe(
        "tr_modes",
        "import torch\ntr_modes = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(), torch.nn.BatchNorm1d(2)).eval(); tr_modes[1].train(); tr_modes[0].weight.requires_grad_(False); tr_modes_b = torch.nn.Buffer(torch.ones(2)); tr_modes_l = torch.nn.LazyLinear(3); tr_modes_p = torch.nn.ParameterDict({'a': torch.nn.Parameter(torch.ones(1))}); tr_modes_r = torch.nn.LSTM(2, 3, 2); tr_modes_y = tr_modes_r(torch.ones(4, 1, 2))[0].detach()",
        "assert [m.training for m in tr_modes] == [False, True, False] and not tr_modes[0].weight.requires_grad and tr_modes[0].bias.requires_grad and tr_modes[2].num_batches_tracked.item() == 0 and isinstance(tr_modes_b, torch.nn.Buffer)\nassert tr_modes_l(torch.ones(7)).shape == (3,) and tr_modes_p['a'].requires_grad and torch.equal(tr_modes_r(torch.ones(4, 1, 2))[0], tr_modes_y) and tr_modes_r._flat_weights[0] is tr_modes_r.weight_ih_l0",
    ),
    Probe(
        "tr_module_hooks",
        "import torch\ntr_module_hooks = torch.nn.Linear(2, 1); tr_module_hooks_seen = {}\ndef tr_module_hooks_keep(name):\n    def hook(module, inputs, output): tr_module_hooks_seen[name] = output.detach()\n    return hook\ntr_module_hooks_h = tr_module_hooks.register_forward_hook(tr_module_hooks_keep('out')); tr_module_hooks.register_forward_pre_hook(lambda m, args: (args[0] * 0,)); tr_module_hooks.register_full_backward_hook(lambda m, i, o: tr_module_hooks_seen.update(back=True)); tr_module_hooks(torch.ones(2)).sum().backward()\n----\ntr_module_hooks_seen.clear()",
        "assert tr_module_hooks_seen == {}; tr_module_hooks(torch.ones(2)).sum().backward(); assert torch.equal(tr_module_hooks_seen['out'], tr_module_hooks.bias.detach()) and tr_module_hooks_seen['back']\ntr_module_hooks_h.remove(); tr_module_hooks_seen.clear(); tr_module_hooks(torch.ones(2)); assert tr_module_hooks_seen == {}",
    ),
    Probe(
        "tr_parametrized",
        "import torch\ntr_parametrized = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2)); tr_parametrized_s = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(2, 2)).eval(); tr_parametrized_y = tr_parametrized(torch.ones(2)).detach(); tr_parametrized_z = tr_parametrized_s(torch.ones(2)).detach(); tr_parametrized_o = torch.optim.SGD(tr_parametrized.parameters(), lr=.1)",
        "assert torch.equal(tr_parametrized(torch.ones(2)), tr_parametrized_y) and torch.equal(tr_parametrized_s(torch.ones(2)), tr_parametrized_z) and isinstance(tr_parametrized, torch.nn.Linear)\ntr_parametrized(torch.ones(2)).sum().backward(); tr_parametrized_o.step(); assert not torch.equal(tr_parametrized(torch.ones(2)), tr_parametrized_y)",
    ),
    Probe(
        "tr_pruned",
        "import torch\nfrom torch.nn.utils import prune\ntr_pruned = prune.l1_unstructured(torch.nn.Linear(4, 4), 'weight', amount=8)",
        "assert int((tr_pruned(torch.eye(4)) - tr_pruned.bias == 0).sum()) == 8 and isinstance(tr_pruned.weight_orig, torch.nn.Parameter)",
        refuses="autograd graph",
    ),
    Probe(
        "tr_average",
        "import torch\nfrom torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn\ntr_average_m = torch.nn.Linear(2, 2); tr_average = AveragedModel(tr_average_m, multi_avg_fn=get_ema_multi_avg_fn(.5)); tr_average.update_parameters(tr_average_m); tr_average_g = torch.amp.GradScaler('cpu'); tr_average_w = tr_average.module.weight.detach().clone()\nwith torch.no_grad(): tr_average_m.weight += 2",
        "tr_average.update_parameters(tr_average_m); assert torch.allclose(tr_average.module.weight, tr_average_w + 1) and tr_average_g.get_scale() == 65536",
    ),
    Probe(
        "tr_loader",
        "import torch\nfrom torch.utils.data import DataLoader, Dataset, TensorDataset, random_split, WeightedRandomSampler\nclass tr_loader_D(Dataset):\n    def __init__(self): self.rows = torch.arange(10.); self.reads = []\n    def __len__(self): return 10\n    def __getitem__(self, i): self.reads.append(i); return self.rows[i]\ntr_loader_d = tr_loader_D(); tr_loader_g = torch.Generator().manual_seed(3); tr_loader = DataLoader(tr_loader_d, batch_size=2, shuffle=True, generator=tr_loader_g); _ = list(tr_loader); tr_loader_state = tr_loader_g.get_state(); tr_loader_expected = [b.tolist() for b in tr_loader]; tr_loader_g.set_state(tr_loader_state); tr_loader_d.reads.clear(); tr_loader_parts = random_split(TensorDataset(torch.arange(4.)), [3, 1])",
        "assert [b.tolist() for b in tr_loader] == tr_loader_expected and tr_loader.dataset is tr_loader_d and len(tr_loader_d.reads) == 10 and tr_loader_parts[0].dataset is tr_loader_parts[1].dataset",
    ),
    Probe(
        "tr_iteration",
        "import torch\nfrom torch.utils.data import DataLoader\ntr_iteration_l = DataLoader([1, 2, 3]); tr_iteration = iter(tr_iteration_l); _ = next(tr_iteration)",
        "assert [b.item() for b in tr_iteration_l] == [1, 2, 3]",
        refuses="the middle of a loop over its data",
    ),
    Probe(
        "tr_workers",
        "import torch\nfrom torch.utils.data import DataLoader\ntr_workers = DataLoader(list(range(4)), batch_size=2, num_workers=1, persistent_workers=True, multiprocessing_context='fork'); _ = next(iter(tr_workers)); tr_workers._iterator._shutdown_workers()",
        "assert [b.tolist() for b in tr_workers] == [[0, 1], [2, 3]]; tr_workers._iterator._shutdown_workers()",
    ),
    Probe(
        "tr_compiled",
        "import torch\ntr_compiled_m = torch.nn.Linear(2, 2); tr_compiled = torch.compile(tr_compiled_m, backend='eager'); _ = tr_compiled(torch.ones(2)).sum().item(); tr_compiled_p = torch.nn.Linear(2, 2); tr_compiled_p.compile(backend='eager'); _ = tr_compiled_p(torch.ones(2)).sum().item()\ntr_compiled_f = torch.compile(lambda x: x * 2, backend='eager'); _ = tr_compiled_f(torch.ones(1)).item()",
        "assert tr_compiled._orig_mod is tr_compiled_m and torch.equal(tr_compiled(torch.ones(2)), tr_compiled_m(torch.ones(2))) and tr_compiled_p._compiled_call_impl is not None and tr_compiled_f(torch.ones(1)).item() == 2\nwith torch.no_grad(): tr_compiled_m.weight.zero_(); tr_compiled_m.bias.zero_()\nassert tr_compiled(torch.ones(2)).tolist() == [0, 0] and tr_compiled_p(torch.ones(2)).shape == (2,)\ntorch._dynamo.utils.counters.clear(); tr_compiled_f(torch.ones(3)); tr_compiled_f(torch.ones(3, 1)); assert torch._dynamo.utils.counters['stats']['unique_graphs'] > 0, 'not compiled'",
    ),
    Probe(
        "tr_scripted",
        "import torch\ntr_scripted_m = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()).eval(); tr_scripted = torch.jit.script(tr_scripted_m); tr_scripted_t = torch.jit.trace(tr_scripted_m, torch.ones(1, 2)); tr_scripted_y = tr_scripted(torch.ones(2)).detach()",
        "assert torch.equal(tr_scripted(torch.ones(2)), tr_scripted_y) and torch.equal(tr_scripted_t(torch.ones(2)), tr_scripted_y) and not tr_scripted.training\nwith torch.no_grad(): tr_scripted_m[0].weight.zero_(); tr_scripted_m[0].bias.fill_(3.)\nassert tr_scripted(torch.ones(2)).tolist() == [3, 3] == tr_scripted_t(torch.ones(2)).tolist()",
    ),
    Probe(
        "tr_script_function",
        "import torch\ntr_script_function = torch.jit.trace(lambda x: x * 2, torch.ones(1))",
        refuses="tr_script_function",
    ),
    Probe(
        "tr_hidden",
        "import torch\ntr_hidden_m = torch.nn.Linear(2, 1)\ndef tr_hidden_agent(model):\n    while True:\n        with torch.no_grad(): model.weight += 1\n        yield\ntr_hidden = tr_hidden_agent(tr_hidden_m); tr_hidden_w = tr_hidden_m.weight.detach().clone()\n----\nnext(tr_hidden)\n----\nnext(tr_hidden)",
        "assert torch.allclose(tr_hidden_m.weight, tr_hidden_w + 2)",
        refuses="suspended code",
    ),
    Probe(
        "tr_state_of_optimiser",
        "import torch\ntr_state_w = torch.nn.Parameter(torch.ones(2)); tr_state_of_optimiser = torch.optim.Adam([tr_state_w]); tr_state_w.grad = torch.ones(2); tr_state_of_optimiser.step(); tr_state_d = tr_state_of_optimiser.state_dict()",
        "assert tr_state_d['state'][0]['exp_avg'] is tr_state_of_optimiser.state[tr_state_w]['exp_avg']",
    ),
    Probe(
        "tr_sparse_gradient",
        "import torch\ntr_sparse_gradient = torch.nn.Embedding(5, 2, sparse=True); tr_sparse_gradient(torch.tensor([1])).sum().backward(); tr_sparse_o = torch.optim.SparseAdam(tr_sparse_gradient.parameters())",
        "before = tr_sparse_gradient.weight.detach().clone(); assert tr_sparse_gradient.weight.grad.is_sparse; tr_sparse_o.step(); assert not torch.equal(before[1], tr_sparse_gradient.weight[1]) and torch.equal(before[0], tr_sparse_gradient.weight[0])",
    ),
    Probe(
        "tr_stacked",
        "import torch\ntr_stacked_ms = [torch.nn.Linear(2, 2) for _ in range(3)]; tr_stacked_p, tr_stacked_b = torch.func.stack_module_state(tr_stacked_ms); tr_stacked_base = torch.nn.Linear(2, 2).to('meta')\ndef tr_stacked(p, b, x): return torch.func.functional_call(tr_stacked_base, (p, b), (x,))\ntr_stacked_y = torch.vmap(tr_stacked, (0, 0, None))(tr_stacked_p, tr_stacked_b, torch.ones(2)).detach()",
        "assert torch.equal(torch.vmap(tr_stacked, (0, 0, None))(tr_stacked_p, tr_stacked_b, torch.ones(2)), tr_stacked_y) and tr_stacked_base.weight.is_meta",
    ),
    Probe(
        "tr_traced_graph",
        "import torch, warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    tr_traced_graph = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.Linear(2, 2))); tr_traced_y = tr_traced_graph(torch.ones(2)).detach(); tr_quantised = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(torch.nn.Linear(2, 2)), {torch.nn.Linear}); tr_quantised_y = tr_quantised(torch.ones(1, 2))",
        "assert torch.equal(tr_traced_graph(torch.ones(2)), tr_traced_y) and torch.equal(tr_quantised(torch.ones(1, 2)), tr_quantised_y)",
    ),
]

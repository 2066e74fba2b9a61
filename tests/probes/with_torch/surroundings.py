"""What PyTorch keeps in the process: random numbers and settings."""

from tests.probes import Probe

PROBES = [
    Probe(
        "ts_generators",
        "import torch\nts_generators = torch.Generator().manual_seed(7); _ = torch.rand(3, generator=ts_generators); ts_generators_next = torch.rand(2, generator=ts_generators.clone_state() if hasattr(ts_generators, 'clone_state') else ts_generators).tolist(); ts_generators_default = torch.default_generator",
        "assert torch.rand(2, generator=ts_generators).tolist() == ts_generators_next and ts_generators_default is torch.default_generator and ts_generators.initial_seed() == 7",
    ),
    Probe(
        "ts_hooks_for_all",
        "import torch\nts_hooks_for_all = []; ts_hooks_for_all_h = torch.nn.modules.module.register_module_forward_hook(lambda m, i, o: ts_hooks_for_all.append(type(m).__name__) if len(ts_hooks_for_all) < 2 else None)\nts_hooks_for_all_m = torch.nn.Identity()",
        "ts_hooks_for_all.clear(); ts_hooks_for_all_m(1); assert ts_hooks_for_all == ['Identity']\nts_hooks_for_all_h.remove(); ts_hooks_for_all_m(1); assert ts_hooks_for_all == ['Identity']",
    ),
]

ALONE = [  # what it sets holds for all
    Probe(
        "ts_settings",
        "import torch\nts_settings = torch.get_num_threads(); torch.set_default_dtype(torch.float64); torch.set_num_threads(1); torch.set_printoptions(precision=2, sci_mode=False); torch.use_deterministic_algorithms(True, warn_only=True); torch.autograd.set_detect_anomaly(True); torch.backends.cudnn.benchmark = True; torch.set_float32_matmul_precision('high'); torch.set_grad_enabled(False)\n----\ntorch.manual_seed(5); _ = torch.rand(3); ts_settings_state = torch.get_rng_state()",
        "assert torch.equal(torch.get_rng_state(), ts_settings_state) and torch.initial_seed() == 5\nassert torch.get_default_dtype() is torch.float64 and torch.get_num_threads() == 1 and repr(torch.tensor(1.23456)) == 'tensor(1.23)' and torch.is_deterministic_algorithms_warn_only_enabled() and torch.is_anomaly_enabled() and torch.backends.cudnn.benchmark and torch.get_float32_matmul_precision() == 'high' and not torch.is_grad_enabled()\ntorch.set_grad_enabled(True); torch.set_default_dtype(torch.float32); torch.autograd.set_detect_anomaly(False)",
    ),
    Probe(
        "ts_autocast",
        "import torch\nts_autocast = torch.autocast('cpu', dtype=torch.float16); _ = ts_autocast.__enter__()",
        "assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float16\nts_autocast.__exit__(None, None, None); assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.get_default_dtype() and not torch.is_autocast_enabled('cpu')",
    ),
]

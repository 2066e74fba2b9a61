"""Tensors of every kind: what they are, and what they know of gradients."""

from tests.probes import Probe

GRAPH = "autograd graph"

PROBES = [
    Probe(
        "tt_plain",
        "import torch\ntt_plain = [torch.arange(6.).reshape(2, 3), torch.tensor(5), torch.empty(0, 3), torch.tensor([True, False]), torch.tensor([1 + 2j]), torch.ones(2, dtype=torch.float16), torch.randn(20_000)]\ntt_plain_sum = tt_plain[6].sum().item()",
        "assert tt_plain[0][1, 2] == 5 and tt_plain[1].shape == () and tt_plain[2].shape == (0, 3) and tt_plain[3].tolist() == [True, False]\nassert tt_plain[4][0] == 1 + 2j and tt_plain[5].dtype is torch.float16 and tt_plain[6].sum().item() == tt_plain_sum",
    ),
    Probe(
        "tt_dtypes",
        "import torch\ntt_dtypes = {d: torch.ones(3).to(d) for d in (torch.bfloat16, torch.float64, torch.uint8, torch.int16, torch.float8_e4m3fn, torch.complex64, torch.bool)}\ntt_dtypes_d = [torch.bfloat16, torch.device('cpu'), torch.strided, torch.channels_last, torch.Size([1, 2]), torch.finfo(torch.bfloat16), torch.iinfo(torch.int8)]",
        "for d, t in tt_dtypes.items():\n    assert t.dtype is d and t.to(torch.float32).sum() == 3\nassert tt_dtypes_d[0] is torch.bfloat16 and tt_dtypes_d[1].type == 'cpu' and tt_dtypes_d[2] is torch.strided and tt_dtypes_d[3] is torch.channels_last and type(tt_dtypes_d[4]) is torch.Size and tt_dtypes_d[5].bits == 16 and tt_dtypes_d[6].max == 127",
    ),
    Probe(
        "tt_special",
        "import torch\ntt_special_c = torch.tensor([1 + 2j, 3 - 1j]); tt_special_conj = tt_special_c.conj(); tt_special_neg = tt_special_conj.imag; tt_special_meta = torch.ones(3, 4, device='meta')",
        "assert tt_special_conj.is_conj() and tt_special_conj[0] == 1 - 2j and tt_special_neg.is_neg() and tt_special_neg[0] == -2 and tt_special_meta.is_meta and tt_special_meta.shape == (3, 4)\ntt_special_c[0] = 5 + 6j; assert tt_special_conj[0] == 5 - 6j and tt_special_neg[0] == -6",
    ),
    Probe(
        "tt_sparse",
        "import torch, warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    tt_sparse = torch.eye(3).to_sparse().requires_grad_(); tt_sparse_csr = torch.eye(3).to_sparse_csr(); tt_sparse_v = torch.eye(3).to_sparse().coalesce(); tt_sparse_values = tt_sparse_v.values(); tt_sparse_nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)",
        "assert tt_sparse.is_sparse and tt_sparse.requires_grad and tt_sparse.is_leaf and tt_sparse_csr.layout is torch.sparse_csr and tt_sparse_csr.to_dense().trace() == 3\ntt_sparse_values[0] = 9; assert tt_sparse_v.to_dense()[0, 0] == 9\nassert [t.shape[0] for t in tt_sparse_nested.unbind()] == [2, 3]",
    ),
    Probe(
        "tt_quantised",
        "import torch, warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    tt_quantised = torch.quantize_per_tensor(torch.tensor([1., 2.]), 0.5, 1, torch.qint8); tt_quantised_c = torch.quantize_per_channel(torch.ones(2, 2), torch.tensor([.1, .2]), torch.tensor([0, 0]), 0, torch.quint8); tt_quantised_v = tt_quantised[1:]",
        "assert tt_quantised.dequantize().tolist() == [1., 2.] and tt_quantised.q_scale() == 0.5 and tt_quantised.q_zero_point() == 1 and tt_quantised_c.q_per_channel_axis() == 0 and tt_quantised_v.dequantize().tolist() == [2.]",
    ),
    Probe(
        "tt_grad",
        "import torch\ntt_grad = torch.ones(3, requires_grad=True); tt_grad_other = torch.ones(2, requires_grad=True)\n(tt_grad * 2).sum().backward(); tt_grad_g = tt_grad.grad\n----\n(tt_grad * 3).sum().backward()",
        "assert tt_grad.grad.tolist() == [5, 5, 5] and tt_grad.grad is tt_grad_g and tt_grad_other.grad is None and tt_grad.is_leaf and tt_grad.requires_grad\n(tt_grad * 1).sum().backward(); assert tt_grad_g.tolist() == [6, 6, 6]",
    ),
    Probe(
        "tt_result",
        "import torch\ntt_result_w = torch.ones(3, requires_grad=True); tt_result = (tt_result_w * 2).sum()",
        "assert tt_result.requires_grad and not tt_result.is_leaf and tt_result.item() == 6 and tt_result.detach().item() == 6\ntry: tt_result.backward()\nexcept Exception as error: assert type(error).__name__ == 'NotKept' and 'graph' in str(error), error\nelse: raise AssertionError('no word')\nassert tt_result_w.grad is None; (tt_result_w * 2).sum().backward(); assert tt_result_w.grad.tolist() == [2, 2, 2]",
        refuses=GRAPH,
    ),
    Probe(
        "tt_result_in",
        "import torch\ntt_result_in_w = torch.ones(2, requires_grad=True); tt_result_in_h = tt_result_in_w * 3; tt_result_in_h.retain_grad(); tt_result_in_h.sum().backward()\ntt_result_in = {'loss': [tt_result_in_h], 'n': 1}",
        "assert tt_result_in['loss'][0] is tt_result_in_h and tt_result_in_h.grad.tolist() == [1, 1] and tt_result_in_h.retains_grad and tt_result_in['n'] == 1 and tt_result_in_w.grad.tolist() == [3, 3]",
        refuses="tt_result_in['loss'][0]",
    ),
    Probe(
        "tt_result_detached",
        "import torch\ntt_result_detached_w = torch.ones(2, requires_grad=True); tt_result_detached = (tt_result_detached_w * 3).detach(); tt_result_detached_i = (tt_result_detached_w * 3).sum().item()\nwith torch.no_grad(): tt_result_detached_n = tt_result_detached_w * 4",
        "assert not tt_result_detached.requires_grad and tt_result_detached_i == 6 and not tt_result_detached_n.requires_grad and tt_result_detached_n.tolist() == [4, 4]",
    ),
    Probe(
        "tt_view_of_leaf",
        "import torch\ntt_view_of_leaf_w = torch.ones(3, requires_grad=True); tt_view_of_leaf = tt_view_of_leaf_w[1:]\nwith torch.no_grad(): tt_view_of_leaf_n = tt_view_of_leaf_w[:1]\ntt_view_of_leaf_d = tt_view_of_leaf_w.detach(); tt_view_of_leaf_is = (tt_view_of_leaf_n.requires_grad, tt_view_of_leaf_n.is_leaf)",
        "assert tt_view_of_leaf.requires_grad and not tt_view_of_leaf.is_leaf and (tt_view_of_leaf_n.requires_grad, tt_view_of_leaf_n.is_leaf) == tt_view_of_leaf_is and tt_view_of_leaf._base is tt_view_of_leaf_w\n(tt_view_of_leaf * 2).sum().backward(); assert tt_view_of_leaf_w.grad.tolist() == [0, 2, 2]\ntt_view_of_leaf_d[1] = 7; assert tt_view_of_leaf[0] == 7",
    ),
    Probe(
        "tt_written_view",
        "import torch\ntt_written_view_a = torch.zeros(4); tt_written_view = tt_written_view_a[2:]; tt_written_view_w = torch.ones(2, requires_grad=True)",
        "tt_written_view.add_(tt_written_view_w * 2); assert tt_written_view_a.requires_grad and tt_written_view_a.tolist() == [0, 0, 2, 2]\ntt_written_view_a.sum().backward(); assert tt_written_view_w.grad.tolist() == [2, 2]",
    ),
    Probe(
        "tt_hooks",
        "import torch\ntt_hooks_log = []; tt_hooks = torch.ones(2, requires_grad=True); tt_hooks_h = tt_hooks.register_hook(lambda g: tt_hooks_log.append(g.sum().item())); tt_hooks_p = tt_hooks.register_post_accumulate_grad_hook(lambda t: tt_hooks_log.append('p')); tt_hooks.register_hook(lambda g: g * 10)",
        "(tt_hooks * 2).sum().backward(); assert tt_hooks_log == [4., 'p'] and tt_hooks.grad.tolist() == [20, 20]\ntt_hooks_h.remove(); tt_hooks_p.remove(); (tt_hooks * 2).sum().backward(); assert tt_hooks_log == [4., 'p'] and tt_hooks.grad.tolist() == [40, 40]\ntt_hooks.register_hook(lambda g: tt_hooks_log.append('new')); tt_hooks.sum().backward(); assert tt_hooks.grad.tolist() == [50, 50] and tt_hooks_log[2:] == ['new']",
    ),
    Probe(
        "tt_hooks_number",
        "import torch\ntt_hooks_number = torch.nn.Linear(1, 1); tt_hooks_number_log = []\nfor k in range(3): tt_hooks_number.register_forward_hook(lambda *_, k=k: tt_hooks_number_log.append(k))",
        "tt_hooks_number.register_forward_hook(lambda *_: tt_hooks_number_log.append('new')); tt_hooks_number(torch.ones(1)); assert tt_hooks_number_log == [0, 1, 2, 'new'], tt_hooks_number_log",
    ),
    Probe(
        "tt_subclass",
        "import torch\nclass tt_subclass_T(torch.Tensor):\n    @classmethod\n    def __torch_function__(cls, function, types, args=(), kwargs=None):\n        tt_subclass_log.append(function.__name__)\n        return super().__torch_function__(function, types, args, kwargs or {})\ntt_subclass_log = []\ntt_subclass = torch.ones(3).as_subclass(tt_subclass_T); tt_subclass.tag = [1]; tt_subclass_tag = tt_subclass.tag; tt_subclass_log.clear(); tt_subclass_p = torch.nn.Parameter(torch.ones(2)); tt_subclass_p.scale = 3",
        "assert tt_subclass_log == [] and type(tt_subclass) is tt_subclass_T and tt_subclass.tag is tt_subclass_tag and type(tt_subclass_p) is torch.nn.Parameter and tt_subclass_p.scale == 3 and tt_subclass_p.requires_grad\nassert type(tt_subclass + 1) is tt_subclass_T and 'add' in tt_subclass_log",
    ),
    Probe(
        "tt_wrapper",
        "import torch\nclass tt_wrapper_W(torch.Tensor):\n    @staticmethod\n    def __new__(cls, inner): return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)\n    def __init__(self, inner): self.inner = inner\n    @classmethod\n    def __torch_dispatch__(cls, f, types, args=(), kwargs=None):\n        return f(*[a.inner if isinstance(a, cls) else a for a in args], **(kwargs or {}))\ntt_wrapper = tt_wrapper_W(torch.ones(2)); tt_wrapper_inner = tt_wrapper.inner",
        "assert type(tt_wrapper) is tt_wrapper_W and tt_wrapper.inner is tt_wrapper_inner and (tt_wrapper + 1).tolist() == [2, 2]",
    ),
    Probe(
        "tt_own_way",
        "import torch\nclass tt_own_way_T(torch.Tensor):\n    def __reduce_ex__(self, protocol): return tt_own_way_make, (self.as_subclass(torch.Tensor).tolist(),)\ndef tt_own_way_make(values): return torch.tensor(values).as_subclass(tt_own_way_T)\ntt_own_way = torch.ones(2).as_subclass(tt_own_way_T)",
        "assert type(tt_own_way) is tt_own_way_T and tt_own_way.tolist() == [1, 1]",
    ),
    Probe(
        "tt_inference",
        "import torch\nwith torch.inference_mode(): tt_inference = torch.ones(3) * 2\ntt_inference_v = tt_inference[1:]",
        "assert tt_inference.is_inference() and tt_inference.tolist() == [2, 2, 2] and tt_inference_v.tolist() == [2, 2]",
    ),
    Probe(
        "tt_keys",
        "import torch\ntt_keys_a, tt_keys_b = torch.ones(2), torch.ones(2); tt_keys = {tt_keys_a: 'a', tt_keys_b: 'b'}; tt_keys_s = {tt_keys_a}",
        "assert tt_keys[tt_keys_a] == 'a' and tt_keys[tt_keys_b] == 'b' and tt_keys_a in tt_keys_s and tt_keys_b not in tt_keys_s",
    ),
    Probe(
        "tt_others",
        "import torch\ntt_others = [torch.nn.utils.rnn.pack_sequence([torch.ones(2), torch.ones(1)]), torch.distributions.Normal(torch.zeros(2), 1.), torch.no_grad(), torch.func.grad(lambda x: (x ** 2).sum()), torch.nn.functional.relu, torch.autograd.Function]",
        "assert tt_others[0].data.sum() == 3 and tt_others[1].log_prob(torch.zeros(2)).shape == (2,) and tt_others[3](torch.ones(2)).tolist() == [2, 2] and tt_others[4] is torch.nn.functional.relu\nwith tt_others[2]: assert not torch.is_grad_enabled()",
    ),
    Probe(
        "tt_function",
        "import torch\nclass tt_function_Double(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x): ctx.save_for_backward(x); return x * 2\n    @staticmethod\n    def backward(ctx, g): return g * 20\ntt_function = 1",
        "x = torch.ones(2, requires_grad=True); tt_function_Double.apply(x).sum().backward(); assert x.grad.tolist() == [20, 20]",
    ),
    Probe(
        "tt_node",
        "import torch\ntt_node_w = torch.ones(2, requires_grad=True); tt_node = (tt_node_w * 2).grad_fn",
        refuses="tt_node",
    ),
    Probe(
        "tt_named_dimensions",
        "import torch, warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    tt_named_dimensions = torch.zeros(2, 3, names=('n', 'c')) if hasattr(torch.Tensor, 'refine_names') else None",
        "assert tt_named_dimensions is None or tt_named_dimensions.names == ('n', 'c')",
    ),
    Probe(
        "tt_mkldnn",
        "import torch\ntt_mkldnn = torch.ones(2).to_mkldnn()",
        refuses="tt_mkldnn",
    ),
    Probe(
        "tt_weak",
        "import torch, weakref\nfrom torch.utils.weak import WeakTensorKeyDictionary\ntt_weak_t = torch.ones(2); tt_weak = WeakTensorKeyDictionary(); tt_weak[tt_weak_t] = [5]; tt_weak_r = weakref.ref(tt_weak_t)",
        "assert tt_weak_r() is tt_weak_t and tt_weak[tt_weak_t] == [5] and len(tt_weak) == 1",
    ),
    Probe(
        "tt_decorated",
        "import torch\n@torch.no_grad()\ndef tt_decorated(x): return x * 2\n@torch.inference_mode()\ndef tt_decorated_i(x): return x * 2\ntt_decorated_c = torch.autocast('cpu', dtype=torch.bfloat16)",
        "x = torch.ones(2, requires_grad=True); assert not tt_decorated(x).requires_grad and tt_decorated_i(x).is_inference()\nwith tt_decorated_c: assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16",
    ),
    Probe(
        "tt_in_class",
        "import torch\nclass tt_in_class_A:\n    rows = torch.zeros(3)\ntt_in_class = tt_in_class_A.rows[1:]\ndef tt_in_class_f(x=tt_in_class): return x",
        "tt_in_class_A.rows[1] = 5; assert tt_in_class[0] == 5 == tt_in_class_f()[0]",
    ),
    Probe(
        "tt_bound",
        "import torch\ntt_bound_m = torch.nn.Linear(2, 2); tt_bound = tt_bound_m.forward; tt_bound_add = tt_bound_m.weight.data.add_\n----\ntt_bound_add(1.)\n----\ntt_bound_before = tt_bound_m.weight.detach().clone()",
        "assert tt_bound.__self__ is tt_bound_m and torch.equal(tt_bound_m.weight, tt_bound_before); tt_bound_add(1.); assert torch.allclose(tt_bound_m.weight, tt_bound_before + 1)",
    ),
    Probe(
        "tt_operator",
        "import torch\nfrom torch import Tensor\ndef tt_operator_f(x: Tensor) -> Tensor: return x + 1\ntt_operator = torch.library.custom_op('evercell_probe::op', tt_operator_f, mutates_args=(), schema='(Tensor x) -> Tensor')",
        refuses="an operator that is registered in this process",
    ),
]

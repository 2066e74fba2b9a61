"""Memory that tensors share: with each other, with arrays, with what lent it to them."""

from tests.probes import Probe

PROBES = [
    Probe(
        "tm_views",
        "import torch\ntm_views_a = torch.arange(12.); tm_views_b = tm_views_a[2:]; tm_views_m = tm_views_a.view(3, 4); tm_views_t = tm_views_m.t(); tm_views_d = tm_views_m.diagonal(); tm_views_e = tm_views_a[:1].expand(5); tm_views_u = tm_views_a.unfold(0, 3, 1); tm_views_f = tm_views_a.flip(0)\n----\ntm_views_m[0, 0] = 50.",
        "assert tm_views_a[0] == 50 == tm_views_e[4] == tm_views_d[0] == tm_views_u[0, 0]\ntm_views_b[0] = 60; assert tm_views_a[2] == 60 == tm_views_m[0, 2] == tm_views_t[2, 0] and tm_views_b._base is tm_views_a and tm_views_e.stride() == (0,) and tm_views_f[9] == 2",
    ),
    Probe(
        "tm_bits",
        "import torch\ntm_bits_c = torch.zeros(2, dtype=torch.complex64); tm_bits_r = torch.view_as_real(tm_bits_c); tm_bits_i = tm_bits_c.real; tm_bits_f = torch.ones(2); tm_bits_n = tm_bits_f.view(torch.int32)",
        "tm_bits_r[0, 1] = 3; assert tm_bits_c[0] == 3j; tm_bits_c[1] = 4; assert tm_bits_i[1] == 4\ntm_bits_n[0] = 0; assert tm_bits_f[0] == 0",
    ),
    Probe(
        "tm_data",
        "import torch\ntm_data_w = torch.nn.Parameter(torch.zeros(3)); tm_data = tm_data_w.data; tm_data_d = tm_data_w.detach(); tm_data_s = tm_data_w.untyped_storage()\n----\ntm_data[0] = 1.",
        "assert tm_data_w[0] == 1 and tm_data_w.is_leaf\ntm_data_d[1] = 2; assert tm_data[1] == 2 == tm_data_w[1] and tm_data_w.untyped_storage() is tm_data_s",
    ),
    Probe(
        "tm_state_dict",
        "import torch\ntm_state_dict_m = torch.nn.Sequential(torch.nn.Linear(3, 200), torch.nn.BatchNorm1d(200)); tm_state_dict = tm_state_dict_m.state_dict(); tm_state_dict_v = tm_state_dict_m.state_dict(keep_vars=True)\n----\nwith torch.no_grad(): tm_state_dict_m[0].weight.fill_(2.)",
        "assert tm_state_dict['0.weight'][0, 0] == 2 and tm_state_dict_v['0.weight'] is tm_state_dict_m[0].weight and tm_state_dict._metadata['']['version'] == 1\ntm_state_dict['1.running_mean'][0] = 7; assert tm_state_dict_m[1].running_mean[0] == 7",
    ),
    Probe(
        "tm_from_numpy",
        "import torch, numpy as np\ntm_from_numpy_a = np.zeros(8); tm_from_numpy = torch.from_numpy(tm_from_numpy_a); tm_from_numpy_s = torch.from_numpy(tm_from_numpy_a[2:6]); tm_from_numpy_as = torch.as_tensor(tm_from_numpy_a[::2])\n----\ntm_from_numpy_s[0] = 3.\n----\ntm_from_numpy_a[4] = 5.",
        "assert tm_from_numpy_a[2] == 3 == tm_from_numpy[2] and tm_from_numpy_s[2] == 5 == tm_from_numpy_as[2]\ntm_from_numpy_as[0] = 6; assert tm_from_numpy_a[0] == 6; tm_from_numpy_a[3] = 7; assert tm_from_numpy_s[1] == 7",
    ),
    Probe(
        "tm_numpy",
        "import torch\ntm_numpy_t = torch.zeros(6); tm_numpy = tm_numpy_t.numpy(); tm_numpy_v = tm_numpy_t[2:].numpy(); tm_numpy_m = torch.nn.Linear(2, 2); tm_numpy_w = tm_numpy_m.weight.detach().numpy()\n----\ntm_numpy_v[0] = 2.",
        "assert tm_numpy_t[2] == 2 == tm_numpy[2]\ntm_numpy[3] = 4; assert tm_numpy_v[1] == 4 == tm_numpy_t[3]; tm_numpy_w[0, 0] = 9; assert tm_numpy_m.weight[0, 0] == 9",
    ),
    Probe(
        "tm_numpy_gone",
        "import torch, numpy as np\ntm_numpy_gone_a = np.arange(6.); tm_numpy_gone = [torch.from_numpy(tm_numpy_gone_a[:4]), torch.from_numpy(tm_numpy_gone_a[2:])]; tm_numpy_gone_t = torch.from_numpy(tm_numpy_gone_a); del tm_numpy_gone_a",
        "tm_numpy_gone[0][3] = 9; assert tm_numpy_gone[1][1] == 9 == tm_numpy_gone_t[3]\ntm_numpy_gone_t[5] = 8; assert tm_numpy_gone[1][3] == 8",
    ),
    Probe(
        "tm_hidden",
        "import torch, numpy as np\nclass tm_hidden_Box: pass\ntm_hidden = tm_hidden_Box(); tm_hidden.rows = np.zeros(9)\ndef tm_hidden_share():\n    global tm_hidden_t\n    tm_hidden_t = torch.from_numpy(tm_hidden.rows[1:])\n----\ntm_hidden_share()\n----\ntm_hidden_add = tm_hidden_t.add_\n----\ntm_hidden_add(1)",
        "assert tm_hidden.rows[0] == 0 and tm_hidden.rows[1] == 1\ntm_hidden_t[0] = 5; assert tm_hidden.rows[1] == 5; tm_hidden_add(1); assert tm_hidden.rows[1] == 6",
    ),
    Probe(
        "tm_lent",
        "import torch, numpy as np\nfrom array import array\ntm_lent_b = bytearray(8); tm_lent = torch.frombuffer(tm_lent_b, dtype=torch.uint8); tm_lent_a = array('f', [0] * 4); tm_lent_f = torch.frombuffer(tm_lent_a, dtype=torch.float32, offset=4)\ntm_lent_t = torch.zeros(4); tm_lent_n = np.from_dlpack(tm_lent_t); tm_lent_d = torch.from_dlpack(np.zeros(3))\n----\ntm_lent_b[1] = 7",
        "assert tm_lent[1] == 7; tm_lent[2] = 5; assert tm_lent_b[2] == 5; tm_lent_f[0] = 2; assert tm_lent_a[1] == 2\ntm_lent_n.flags.writeable; tm_lent_t[0] = 3; assert tm_lent_n[0] == 3; tm_lent_d[0] = 1",
    ),
    Probe(
        "tm_dlpack",
        "import torch\ntm_dlpack_t = torch.zeros(4); tm_dlpack = torch.from_dlpack(tm_dlpack_t); tm_dlpack_u = torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(tm_dlpack_t))",
        "tm_dlpack[0] = 3; assert tm_dlpack_t[0] == 3 == tm_dlpack_u[0]",
    ),
    Probe(
        "tm_flat",
        "import torch\ntm_flat_m = torch.nn.Linear(3, 2); tm_flat = torch.cat([p.data.flatten() for p in tm_flat_m.parameters()])\ntm_flat_at = 0\nfor p in tm_flat_m.parameters():\n    p.data = tm_flat[tm_flat_at:tm_flat_at + p.numel()].view_as(p); tm_flat_at += p.numel()\ndel p",
        "tm_flat.zero_(); assert tm_flat_m(torch.ones(3)).tolist() == [0, 0]\nwith torch.no_grad(): tm_flat_m.bias.fill_(1.)\nassert tm_flat[-1] == 1",
    ),
    Probe(
        "tm_large",
        "import torch\ntm_large = torch.zeros(3_000_000); tm_large_v = tm_large[1:]\n----\ntm_large_v[0] = 4.",
        "assert tm_large[1] == 4\ntm_large[2] = 5; assert tm_large_v[1] == 5 and tm_large_v.shape == (2_999_999,)",
    ),
    Probe(
        "tm_grown",
        "import torch\ntm_grown = torch.zeros(2)",
        "tm_grown.resize_(4); assert tm_grown.shape == (4,) and tm_grown.untyped_storage().resizable()",
    ),
    Probe(
        "tm_shared_memory",
        "import torch\ntm_shared_memory = torch.ones(3).share_memory_(); tm_shared_memory_v = tm_shared_memory[1:]",
        "assert tm_shared_memory.is_shared() and tm_shared_memory.tolist() == [1, 1, 1]; tm_shared_memory_v[0] = 2; assert tm_shared_memory[1] == 2",
    ),
    Probe(
        "tm_file",
        "import torch\nfrom pathlib import Path\nPath('tm_file.bin').write_bytes(bytes(16)); tm_file_path = str(Path('tm_file.bin').absolute()); tm_file = torch.from_file(tm_file_path, shared=True, size=4, dtype=torch.int32)\n----\ntm_file[0] = 3",
        "assert tm_file.tolist() == [3, 0, 0, 0]; tm_file[1] = 5; assert Path(tm_file_path).read_bytes()[4] == 5",
    ),
    Probe(
        "tm_typed",
        "import torch, warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    tm_typed_t = torch.zeros(3); tm_typed = tm_typed_t.storage()",
        "import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n    tm_typed[0] = 4\nassert tm_typed_t[0] == 4",
    ),
    Probe(
        "tm_split",
        "import torch\ntm_split_a, tm_split_b = torch.zeros(6).split(3); tm_split_rows = list(torch.zeros(2, 2).unbind())\ntm_split = {'same': tm_split_a, 'row': tm_split_rows[0]}",
        "assert tm_split['same'] is tm_split_a and tm_split_a.untyped_storage() is tm_split_b.untyped_storage()\ntm_split_rows[1].fill_(1); assert tm_split['row'].tolist() == [0, 0]",
    ),
    Probe(
        "tm_copies",
        "import torch, copy\ntm_copies_a = torch.ones(3); tm_copies = [tm_copies_a.clone(), copy.deepcopy(tm_copies_a), tm_copies_a * 1]",
        "tm_copies_a[0] = 9; assert all(t[0] == 1 for t in tm_copies)",
    ),
    Probe(
        "tm_broken_tie",
        "import torch\ntm_broken_tie_a = torch.zeros(3); tm_broken_tie = tm_broken_tie_a[:]\n----\ntm_broken_tie = torch.zeros(3)\n----\ntm_broken_tie_a[0] = 1.",
        "assert tm_broken_tie[0] == 0; tm_broken_tie_a[1] = 1; assert tm_broken_tie[1] == 0",
    ),
    Probe(
        "tm_arrow",
        "import pyarrow as pa, numpy as np\ntm_arrow_n = np.arange(8, dtype='u1'); tm_arrow = pa.py_buffer(tm_arrow_n); tm_arrow_f = np.arange(5.); tm_arrow_c = pa.array(tm_arrow_f); tm_arrow_o = pa.array(np.arange(4.)); tm_arrow_s = pa.array(['a', None])\n----\ntm_arrow_n[0] = 9; tm_arrow_f[1] = 50.",
        "assert tm_arrow[0] == 9 and tm_arrow_c[1].as_py() == 50 and tm_arrow_o.to_pylist() == [0, 1, 2, 3] and tm_arrow_s.to_pylist() == ['a', None]\ntm_arrow_n[1] = 8; tm_arrow_f[2] = 60.; assert tm_arrow[1] == 8 and tm_arrow_c[2].as_py() == 60",
    ),
    Probe(
        "tm_arrow_table",
        "import pyarrow as pa, numpy as np\ntm_table_f = np.arange(5.); tm_arrow_table = pa.table({'x': pa.array(tm_table_f), 's': ['a', 'b', 'c', 'd', None]}); tm_table_column = tm_arrow_table.column('x').chunk(0); tm_table_slice = tm_arrow_table.slice(1, 2); tm_table_b = pa.allocate_buffer(16); tm_table_n = np.frombuffer(tm_table_b, 'u1'); tm_table_r = pa.array([1., 2.]).to_numpy()",
        "tm_table_f[2] = 60.; assert tm_arrow_table.column('x')[2].as_py() == 60 == tm_table_column[2].as_py() == tm_table_slice.column('x')[1].as_py() and tm_arrow_table.column('s').to_pylist()[4] is None\nassert tm_table_n[0] == tm_table_b[0] and tm_table_r.tolist() == [1, 2] and not tm_table_r.flags.writeable",
    ),
]

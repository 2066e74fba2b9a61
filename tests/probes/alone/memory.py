"""Memory that is shared without a shared object."""

from tests.probes import Probe

PROBES = [
    Probe(
        "mv",
        "buf=bytearray(b'abc'); v=memoryview(buf)\n----\nv[0]=122",
        "assert bytes(buf)==b'zbc' and isinstance(v, memoryview)\nv[1]=121; assert bytes(buf)==b'zyc'",
    ),
    Probe(
        "mv_arr",
        "import array\na=array.array('i',[1,2,3]); v=memoryview(a)[1:]; w=v.cast('B')\n----\nv[0]=9",
        "v[1]=7; assert list(a)==[1,9,7] and w.format=='B'",
    ),
    Probe(
        "mv_ro",
        "v=memoryview(b'abcdef')[2:4]",
        "assert bytes(v)==b'cd' and v.readonly",
    ),
    Probe(
        "mv_np",
        "import numpy as np\na=np.arange(6); v=memoryview(a)\n----\nv[0]=50",
        "v[1]=60; assert a[0]==50 and a[1]==60",
    ),
    Probe(
        "np_strided",
        "import numpy as np\na=np.arange(10.); v=np.lib.stride_tricks.as_strided(a,(3,3),(8,8))\n----\nv[0,0]=50",
        "assert a[0]==50 and np.shares_memory(a,v)\nv[1,1]=7; assert a[2]==7",
    ),
    Probe(
        "np_window",
        "import numpy as np\na=np.arange(10.); v=np.lib.stride_tricks.sliding_window_view(a,3,writeable=True); w=np.lib.stride_tricks.sliding_window_view(a,3)\n----\nv[0,0]=50",
        "assert a[0]==50==w[0,0] and np.shares_memory(a,v) and np.shares_memory(a,w)\na[1]=9; assert w[0,1]==9",
    ),
    Probe(
        "np_bcast",
        "import numpy as np\na=np.arange(3.); b=np.broadcast_to(a,(2,3))\n----\na[0]=5",
        "assert b[1,0]==5 and np.shares_memory(a,b)\na[1]=8; assert b[0,1]==8",
    ),
    Probe(
        "np_masked",
        "import numpy as np\na=np.arange(5.); m=np.ma.masked_array(a, mask=[0,1,0,0,0])\n----\na[0]=50",
        "assert m[0]==50 and m.mask[1]\nm[2]=77; assert a[2]==77",
    ),
    Probe(
        "np_masked2",
        "import numpy as np\nm=np.ma.masked_array([1.,2,3], mask=[0,1,0]); d=m.data; k=m.mask\n----\nd[0]=50",
        "d[2]=9; assert m[0]==50 and m[2]==9",
    ),
    Probe(
        "np_masked_view",
        "import numpy as np\nm=np.ma.masked_array(np.arange(6.), mask=[0,1,0,0,0,0]); v=m[2:]\n----\nv[0]=50",
        "v[1]=9; assert m[2]==50 and m[3]==9",
    ),
    Probe(
        "np_rec_row",
        "import numpy as np\na=np.zeros(3,[('x','f8'),('y','i4')]); r=a[1]; f=a['x']\n----\nr['x']=5",
        "assert a[1]['x']==5==f[1]\nr['y']=3; assert a[1]['y']==3\nf[0]=2; assert a[0]['x']==2",
    ),
    Probe(
        "np_recarray",
        "import numpy as np\na=np.rec.array([(1,2.),(3,4.)], names='x,y'); r=a[0]; f=a.x\n----\nr.x=9",
        "assert a[0].x==9==f[0]\nr.y=5; assert a.y[0]==5",
    ),
    Probe(
        "np_fields",
        "import numpy as np\na=np.zeros(3,[('x','f8'),('y','i4'),('z','f8')]); f=a[['x','z']]\n----\nf['x'][0]=4",
        "f['z'][1]=3; assert a['x'][0]==4 and a['z'][1]==3",
    ),
    Probe(
        "np_obj_view",
        "import numpy as np\na=np.array([[1],2,3],dtype=object); v=a[1:]; t=a.reshape(3,1)\n----\nv[0]='x'",
        "assert a[1]=='x'==t[1,0]\nv[1]='y'; assert a[2]=='y'",
    ),
    Probe(
        "np_obj_share",
        "import numpy as np\nr=[1]; a=np.array([r,None],dtype=object)\n----\na[0].append(2)",
        "assert a[0] is r and r==[1,2]",
    ),
    Probe(
        "np_rec_obj",
        "import numpy as np\na=np.zeros(2,[('x','O'),('y','f8')]); f=a['y']; g=a['x']\n----\nf[0]=4; g[1]=[2]",
        "f[1]=3; assert a['y'][0]==4 and a['y'][1]==3 and a['x'][1]==[2]",
    ),
    Probe(
        "np_iface",
        "import numpy as np\nclass W:\n    def __init__(s,a): s.a=a\n    @property\n    def __array_interface__(s): return s.a.__array_interface__\na=np.arange(4.); v=np.asarray(W(a))\n----\nv[0]=9",
        "v[1]=8; assert a[0]==9 and a[1]==8",
    ),
    Probe(
        "np_iface_hidden",
        "import numpy as np\nclass W: pass\ndef mk():\n    a=np.arange(4.); w=W(); w.__array_interface__=a.__array_interface__; w._a=a\n    return np.asarray(w), np.asarray(w)\nu,v=mk()\n----\nu[0]=9",
        "u[1]=8; assert v[0]==9 and v[1]==8",
    ),
    Probe(
        "np_frombuffer",
        "import numpy as np\nb=bytearray(32); a=np.frombuffer(b,'f8'); c=np.frombuffer(b,'f8')[1:]\n----\na[0]=1.5",
        "a[1]=2.5; assert c[0]==2.5 and b[:8]!=bytes(8)",
    ),
    Probe(
        "np_frombytes",
        "import numpy as np\nb=b'12345678'*2; a=np.frombuffer(b,'u1')",
        "assert not a.flags.writeable and bytes(a)==b",
    ),
    Probe(
        "np_frommv",
        "import numpy as np\nb=bytearray(32); m=memoryview(b)[8:]; a=np.frombuffer(m,'f8'); c=np.frombuffer(b,'f8')\n----\na[0]=1.5",
        "a[1]=2.5; assert c[1]==1.5 and c[2]==2.5",
    ),
    Probe(
        "arr_np",
        "import numpy as np\nimport array\nr=array.array('d',[1,2,3]); a=np.frombuffer(r); b=np.asarray(r)\n----\na[0]=9",
        "b[1]=8; assert list(r)==[9,8,3]",
    ),
    Probe(
        "ctypes_np",
        "import numpy as np\nimport ctypes\nc=(ctypes.c_double*4)(); a=np.ctypeslib.as_array(c)\n----\na[0]=5",
        "a[1]=6; assert c[0]==5 and c[1]==6",
    ),
    Probe(
        "ctypes_frombuf",
        "import ctypes\nb=bytearray(16); c=(ctypes.c_int*4).from_buffer(b)\n----\nc[0]=5",
        "c[1]=6; assert b[0]==5 and b[4]==6",
    ),
    Probe(
        "mmap_anon",
        "import numpy as np\nimport mmap\nm=mmap.mmap(-1,64); a=np.frombuffer(m,'u1')\n----\na[0]=5",
        "",
        "an open file",
    ),
    Probe(
        "pd_from_np",
        "import numpy as np\nimport pandas as pd\na=np.arange(4.); d=pd.DataFrame({'x':a},copy=False); s=pd.Series(a,copy=False)\n----\na[0]=50",
        "assert s[0]==50\na[1]=60; assert s[1]==60",
    ),
    Probe(
        "pd_values_w",
        "import numpy as np\nimport pandas as pd\nd=pd.DataFrame(np.arange(6.).reshape(3,2),columns=['x','y'])\nv=d.values\n----\nv.flags.writeable=True; v[0,0]=9",
        "assert d.iloc[0,0]==9 and v[0,0]==9",
    ),
    Probe(
        "pd_2d",
        "import numpy as np\nimport pandas as pd\na=np.zeros((3,2)); d=pd.DataFrame(a,copy=False)\n----\na[0,0]=50",
        "assert d.iloc[0,0]==50\na[1,1]=60; assert d.iloc[1,1]==60",
    ),
    Probe(
        "np_real",
        "import numpy as np\na=np.zeros(3,complex); r=a.real; i=a.imag; f=a.view('f8')\n----\nr[0]=1",
        "i[1]=2; assert a[0]==1 and a[1]==2j and f[3]==2",
    ),
    Probe(
        "np_neg",
        "import numpy as np\na=np.arange(5.); v=a[::-1]; w=a.reshape(5,1).T; d=np.diag(np.zeros((3,3)))\n----\nv[0]=9",
        "v[1]=8; assert a[4]==9 and a[3]==8",
    ),
    Probe(
        "np_diag",
        "import numpy as np\nm=np.zeros((3,3)); d=m.diagonal(); e=np.einsum('ii->i',m)\n----\ne[0]=5",
        "e[1]=6; assert m[0,0]==5 and m[1,1]==6",
    ),
    Probe(
        "np_0d",
        "import numpy as np\na=np.zeros(3); s=a[1,...]; t=a[1]\n----\ns[()]=5",
        "s[()]=6; assert a[1]==6",
    ),
    Probe(
        "np_flat",
        "import numpy as np\na=np.zeros((2,2)); f=a.flat\n----\nf[0]=5",
        "f[1]=6; assert a[0,1]==6",
    ),
    Probe(
        "np_matrix",
        "import numpy as np\na=np.zeros((2,2)); m=np.asmatrix(a); c=a.view(np.recarray)\n----\nm[0,0]=5",
        "m[0,1]=6; assert a[0,1]==6 and a[0,0]==5",
    ),
    Probe(
        "np_big_views",
        "import numpy as np\ndef mk():\n    a=np.zeros(3_000_000); return a[:10], a[5:20]\nu,v=mk()\n----\nu[5]=5",
        "u[6]=6; assert v[0]==5 and v[1]==6",
    ),
    Probe(
        "np_big_views2",
        "import numpy as np\ndef mk():\n    a=np.zeros(3_000_000); return a[:10], a[5:20]\nu,v=mk()\nbox=[u]\n----\nbox[0][5]=5",
        "u[6]=6; assert v[0]==5 and v[1]==6",
    ),
    Probe(
        "np_ro_view",
        "import numpy as np\na=np.zeros(4); v=a[1:]; a.flags.writeable=False\n----\nv[0]=5",
        "v[1]=6; assert a[1]==5 and a[2]==6 and not a.flags.writeable",
    ),
    Probe(
        "np_ro_base",
        "import numpy as np\na=np.zeros(4); v=a[1:]; v.flags.writeable=False\n----\na[1]=5",
        "assert v[0]==5 and not v.flags.writeable",
    ),
    Probe(
        "np_void",
        "import numpy as np\nv=np.zeros(1,[('x','f8')])[0]; w=v; d=[v]\n----\nv['x']=5",
        "assert d[0]['x']==5\nv['x']=6; assert d[0]['x']==6",
    ),
    Probe(
        "np_memview_data",
        "import numpy as np\na=np.zeros(4); d=a.data\n----\nd[0]=5.",
        "d[1]=6.; assert a[1]==6",
    ),
    Probe(
        "np_memview_slice",
        "import numpy as np\na=np.zeros((4,4)); d=memoryview(a)[1:]\n----\na[1,0]=5.",
        "a[2,0]=7; assert d[0,0]==5 and d[1,0]==7",
    ),
    Probe(
        "np_dt",
        "import numpy as np\na=np.array(['2020','2021'],'M8[D]'); v=a.view('i8')\n----\nv[0]=0",
        "v[1]=1; assert str(a[0])=='1970-01-01' and str(a[1])=='1970-01-02'",
    ),
    Probe(
        "np_overlap_dtype",
        "import numpy as np\na=np.zeros(2,'i4'); b=np.ndarray((8,),'u1',a.data)\n----\nb[0]=5",
        "b[4]=6; assert a[0]==5 and a[1]==6",
    ),
    Probe(
        "np_void_scalar_sub",
        "import numpy as np\na=np.zeros(2,[('p',[('q','f8')])]); v=a[0]['p']\n----\nv['q']=5",
        "v['q']=6; assert a[0]['p']['q']==6",
    ),
    Probe(
        "np_nditer",
        "import numpy as np\na=np.zeros(3); e=a.__getitem__; g=a.__setitem__\n----\ng(0,5)",
        "g(1,6); assert a[0]==5 and a[1]==6",
    ),
    Probe(
        "np_fromobj_list",
        "import numpy as np\na=np.zeros(3); rows=[a[i:i+1] for i in range(3)]; other=rows[1]\n----\nother[0]=3",
        "other[0]=4; assert a[1]==4 and rows[1] is other",
    ),
    Probe(
        "bytesio_buf",
        "import io\nb=io.BytesIO(b'abcd'); v=b.getbuffer()\n----\nv[0]=122",
        "assert b.getvalue()==b'zbcd'",
        "a window into memory",
    ),
    Probe(
        "scipy_sparse",
        "import numpy as np\nimport scipy.sparse as sp\nm=sp.csr_matrix(np.eye(3)); d=m.data\n----\nd[0]=5",
        "d[1]=6; assert m[0,0]==5 and m[1,1]==6",
    ),
    Probe(
        "np_rng_state",
        "import numpy as np\ng=np.random.default_rng(1); b=g.bit_generator; r=g.random\n----\nr()",
        "h=np.random.default_rng(1); h.random(); assert g.random()==h.random(); assert r()==h.random(); assert g.bit_generator is b",
    ),
]

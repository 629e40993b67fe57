"""The cases given as JSON on standard input, by the BLAS and LAPACK that scipy
brings: one JSON line of seconds by key."""
import json
import sys
import time

import numpy as np
from scipy.linalg import blas, lapack
import scipy
import threadpoolctl

clock = time.thread_time if sys.argv[1] == "true" else time.perf_counter


def best(prepare, f, budget=0.25):
    times, start = [], clock()
    f(prepare())
    while len(times) < 2 or clock() - start < budget and len(times) < 200:
        x = prepare()
        t = clock()
        f(x)
        times.append(clock() - t)
    return min(times)


def matrix(m, n, dtype):
    return np.asfortranarray(np.random.default_rng(1).standard_normal((m, n)).astype(dtype))


def definite(n):
    x = np.random.default_rng(2).standard_normal((2 * n, n))
    return np.asfortranarray(x.T @ x)


def case(c):
    m, n, k = c["m"], c["n"], c["k"]
    f64 = c["double"]
    t = np.float64 if f64 else np.float32
    nothing = lambda: None
    # A row-major product is the column-major product of the transposes, in the
    # other order: the same work on the same bytes.
    if c["op"] == "gemm":
        f = blas.dgemm if f64 else blas.sgemm
        a = matrix(*((m, k) if c["tA"] else (k, m)), t)
        b = matrix(*((k, n) if c["tB"] else (n, k)), t)
        out = np.zeros((n, m), t, order="F")
        return best(nothing, lambda _: f(1, b, a, c=out, trans_a=c["tB"], trans_b=c["tA"], overwrite_c=1))
    if c["op"] == "syrk":
        f = blas.dsyrk if f64 else blas.ssyrk
        x = matrix(n, k, t)
        out = np.zeros((n, n), t, order="F")
        return best(nothing, lambda _: f(1, x, c=out, trans=0, lower=1, overwrite_c=1))
    if c["op"] == "gemv":
        f = blas.dgemv if f64 else blas.sgemv
        a, x, y = matrix(n, m, t), np.ones(n, t), np.zeros(m, t)
        return best(nothing, lambda _: f(1, a, x, y=y, trans=1, overwrite_y=1))
    if c["op"] == "trsm":
        a = definite(n) + n * np.eye(n)
        a = np.asfortranarray(a)
        b = matrix(n, n, t)
        return best(lambda: b.copy(order="F"), lambda x: blas.dtrsm(1, a, x, lower=1, overwrite_b=1))
    if c["op"] == "cholesky":
        a = definite(n)
        return best(lambda: a.copy(order="F"), lambda x: lapack.dpotrf(x, overwrite_a=1, clean=0))
    if c["op"] == "inverse":
        a = definite(n)

        def inverse(x):
            l, _ = lapack.dpotrf(x, overwrite_a=1, clean=0)
            return lapack.dpotri(l, overwrite_c=1)

        return best(lambda: a.copy(order="F"), inverse)
    if c["op"] == "eigen":
        a = definite(n)
        return best(lambda: a.copy(order="F"), lambda x: lapack.dsyevd(x, overwrite_a=1))
    if c["op"] == "svd":
        a = matrix(m, n, t)
        return best(lambda: a.copy(order="F"), lambda x: lapack.dgesdd(x, full_matrices=0, overwrite_a=1))
    if c["op"] == "qr":
        a = matrix(m, n, t)

        def qr(x):
            q, tau, _, _ = lapack.dgeqrf(x, lwork=64 * n, overwrite_a=1)
            return lapack.dorgqr(q, tau, lwork=64 * n, overwrite_a=1)

        return best(lambda: a.copy(order="F"), qr)
    raise ValueError(c["op"])


info = [i for i in threadpoolctl.threadpool_info() if "scipy" in i["filepath"].split("site-packages")[-1].split("/")[1]]
cases = json.load(sys.stdin)
out = {"seconds": {c["key"]: case(c) for c in cases}}
out["version"] = "OpenBLAS %s of scipy %s, %s kernels, %d threads" % (
    info[-1]["version"], scipy.__version__, info[-1]["architecture"], info[-1]["num_threads"])
print(json.dumps(out))

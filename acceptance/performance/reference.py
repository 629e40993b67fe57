"""The same work as the Go side of the table, in PyTorch: one JSON line of seconds."""
import json
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)


def best(f, n=5):
    f()
    times = []
    for _ in range(n):
        t = time.perf_counter()
        f()
        times.append(time.perf_counter() - t)
    return min(times)


out = {}
x = torch.randn(512, 576)
w = torch.randn(1536, 576)
out["gemm"] = best(lambda: x @ w.T, 30)
a = torch.randn(16, 576)
out["skinny"] = best(lambda: x @ a.T, 30)
m = torch.randn(512, 1536)
acc = torch.zeros(1536, 1536, dtype=torch.float64)
out["gram"] = best(lambda: acc.add_(m.T @ m), 10)

# One decoder block, 4 windows of 512 tokens, no gradients.
D, F, H, KV, HD, T, B = 576, 1536, 9, 3, 64, 512, 4
q, k, v, o = (torch.randn(n, D) * 0.03 for n in (H * HD, KV * HD, KV * HD, D))
g, u = torch.randn(F, D) * 0.03, torch.randn(F, D) * 0.03
d = torch.randn(D, F) * 0.03
cos, sin = torch.randn(T, HD), torch.randn(T, HD)
h0 = torch.randn(B, T, D)


def rms(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


def rope(x):
    half = torch.cat((-x[..., HD // 2:], x[..., :HD // 2]), -1)
    return x * cos + half * sin


def block():
    with torch.inference_mode():
        n = rms(h0)
        qq = rope((n @ q.T).view(B, T, H, HD).transpose(1, 2))
        kk = rope((n @ k.T).view(B, T, KV, HD).transpose(1, 2)).repeat_interleave(H // KV, 1)
        vv = (n @ v.T).view(B, T, KV, HD).transpose(1, 2).repeat_interleave(H // KV, 1)
        y = torch.nn.functional.scaled_dot_product_attention(qq, kk, vv, is_causal=True)
        h = h0 + y.transpose(1, 2).reshape(B, T, D) @ o.T
        n = rms(h)
        return h + (torch.nn.functional.silu(n @ g.T) * (n @ u.T)) @ d.T


out["block"] = best(block)


def hessian(n):
    z = torch.randn(2 * n, n, dtype=torch.float64)
    return z.T @ z


H576 = hessian(576)


def factor():
    h = H576.clone()
    h.diagonal().add_(0.01 * h.diagonal().mean())
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)


U = factor().float()


def gptq():
    bits, group = 15, 64
    W = w.clone()
    s = W.view(1536, -1, group).abs().amax(-1) / 7.5
    Q = torch.zeros_like(W)
    for i in range(0, 576, 128):
        j = min(i + 128, 576)
        E = torch.zeros(1536, j - i)
        for c in range(i, j):
            sc = s[:, c // group]
            z = torch.clamp(torch.round(W[:, c] / sc), -8, 7) * sc
            Q[:, c] = z
            e = (W[:, c] - z) / U[c, c]
            W[:, c:j] -= e[:, None] * U[c, c:j]
            E[:, c - i] = e
        W[:, j:] -= E @ U[i:j, j:]
    return Q


out["gptq"] = best(lambda: (factor(), gptq()), 3)
dw = torch.randn(576, 576, dtype=torch.float64) * 0.01


def eora():
    lam, qv = torch.linalg.eigh(H576)
    s = qv * lam.clamp_min(1e-12).sqrt()
    return torch.linalg.svd(dw @ s, full_matrices=False)


out["eora"] = best(eora, 3)
out["eigen"] = best(lambda: torch.linalg.eigh(H576), 3)
out["version"] = torch.__version__
print(json.dumps(out))

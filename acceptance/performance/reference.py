"""The same work as the Go side of the table, in PyTorch: one JSON line of seconds."""
import json
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)


clock = time.thread_time if sys.argv[2] == "true" else time.perf_counter
out = {}


def best(key, f, n=5):
    if key not in sys.argv[3:]:
        return
    f()
    times = []
    for _ in range(n):
        t = clock()
        f()
        times.append(clock() - t)
    out[key] = min(times)


x = torch.randn(512, 576)
w = torch.randn(1536, 576)
best("gemm", lambda: x @ w.T, 30)
a = torch.randn(16, 576)
best("skinny", lambda: x @ a.T, 30)
m = torch.randn(512, 1536)
acc = torch.zeros(1536, 1536, dtype=torch.float64)
best("gram", lambda: acc.add_(m.T @ m), 10)

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


best("block", block)


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


best("gptq", lambda: (factor(), gptq()), 3)
H1536 = hessian(1536)
SITES = [(H576, (576, 192, 192)), (H576, (576,)), (H576, (1536, 1536)), (H1536, (576,))]
ERRORS = [[torch.randn(o, h.shape[0], dtype=torch.float64) * 0.01 for o in outs] for h, outs in SITES]


def eora():
    for (h, _), errors in zip(SITES, ERRORS):
        lam, qv = torch.linalg.eigh(h)
        s = qv * lam.clamp_min(1e-12).sqrt()
        for e in errors:
            torch.linalg.svd(e @ s, full_matrices=False)


best("eora", eora, 2)
best("eigen", lambda: torch.linalg.eigh(H576), 3)


# The whole decoder, of SmolLM2-135M's shapes.
WINDOWS, RANK, SCALE = 16, 16, 2.0


def model():
    from transformers import LlamaConfig, LlamaForCausalLM
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=49152, hidden_size=D, intermediate_size=F, num_hidden_layers=30, num_attention_heads=H,
        num_key_value_heads=KV, head_dim=HD, rms_norm_eps=1e-5, tie_word_embeddings=True)).float()


class LoRA(torch.nn.Module):
    """W·x + s·B·A·x, or with a mask (W + s·(B·A)⊙M)·x."""

    def __init__(self, linear, mask):
        super().__init__()
        self.weight, self.mask = linear.weight.requires_grad_(False), mask
        out, inner = self.weight.shape
        self.A = torch.nn.Parameter(torch.randn(RANK, inner) * 0.01)
        self.B = torch.nn.Parameter(torch.zeros(out, RANK))

    def forward(self, x):
        if self.mask is None:
            return x @ self.weight.T + SCALE * ((x @ self.A.T) @ self.B.T)
        return torch.nn.functional.linear(x, self.weight + SCALE * (self.B @ self.A) * self.mask)


def trainer(masked):
    m = model()
    for p in m.parameters():
        p.requires_grad_(False)
    for layer in m.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, linear in list(part.named_children()):
                if isinstance(linear, torch.nn.Linear):
                    mask = (torch.rand_like(linear.weight) < 0.5).float() if masked else None
                    setattr(part, name, LoRA(linear, mask))
    opt = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=1e-5)
    ids = torch.randint(49152, (1, T))

    def step():
        opt.zero_grad()
        m(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        opt.step()

    return step


if "forward" in sys.argv:
    m = model()
    many = torch.randint(49152, (WINDOWS, T))

    def forward():
        with torch.inference_mode():
            return m.model(input_ids=many, use_cache=False)

    best("forward", forward, 2)
    del m
if "lora_step" in sys.argv:
    best("lora_step", trainer(False), 3)
if "masked_step" in sys.argv:
    best("masked_step", trainer(True), 3)
out["version"] = torch.__version__
print(json.dumps(out))

"""Signs that say the same: LaTeX commands for each other, and Unicode for LaTeX."""


def _pairs(table: str) -> dict[str, str]:
    """A text of `sign meaning sign meaning …` as a mapping."""
    columns = table.split()
    return dict(zip(columns[::2], columns[1::2], strict=True))


SAME = _pairs(r"""
    \dfrac \frac    \tfrac \frac    \cfrac \frac    \times *        \cdot *
    \leq \le        \geq \ge        \neq \ne        \ldots \dots    \cdots \dots
    \{ \lbrace      \} \rbrace      \| \Vert        \lvert |        \rvert |
    \vert |         \mid |          \prime '        \lt <           \gt >
    \varepsilon \epsilon            \varphi \phi    \vartheta \theta
""")
GREEK = _pairs(r"""
    α \alpha    β \beta     γ \gamma    δ \delta    ε \epsilon  ζ \zeta     η \eta
    θ \theta    ι \iota     κ \kappa    λ \lambda   μ \mu       ν \nu       ξ \xi
    π \pi       ρ \rho      σ \sigma    τ \tau      υ \upsilon  φ \phi      χ \chi
    ψ \psi      ω \omega    Γ \Gamma    Δ \Delta    Θ \Theta    Λ \Lambda   Ξ \Xi
    Π \Pi       Σ \Sigma    Φ \Phi      Ψ \Psi      Ω \Omega
""")
SIGNS = _pairs(r"""
    × *         · *         ⋅ *         − -         – -         — -         ⁄ /
    ∕ /         ≤ \le       ≥ \ge       ≠ \ne       √ \sqrt     ∞ \infty    ° ^\circ
    ± \pm       ÷ \div      ≈ \approx   ≡ \equiv    ∈ \in       ∪ \cup      ∩ \cap
    ∅ \emptyset ∠ \angle    △ \triangle → \to       ⊥ \perp     ∥ \parallel ⌊ \lfloor
    ⌋ \rfloor   ⌈ \lceil    ⌉ \rceil    ∑ \sum      ∏ \prod     ∫ \int      ′ '
    ’ '         ‘ '         “ "         ” "         ⋯ \dots
""")
VARIABLES = frozenset(GREEK.values()) - {r"\pi"} | {r"\ell"}
# A command ends with a space, or the letter after it would belong to it.
AS_LATEX = {k: f"{v} " if v[-1:].isalpha() else v for k, v in (GREEK | SIGNS).items()}

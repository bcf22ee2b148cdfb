"""What ways to steer are called in figures and on the page: apart from methods.py, or a word would steer all anew."""

LABELS = {
    "probe": "probe on features (paper)",
    "probe_without_norm": "probe on features, no RMSNorm",
    "class_mean": "difference of class means, features",
    "random": "random direction, features",
    "latent_probe": "probe on raw latents",
    "latent_class_mean": "difference of class means, latents",
    "latent_random": "random direction, latents",
}

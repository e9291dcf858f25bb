"""PyYAML's safe loader: the one of libyaml where there is it, since it is ten times as fast."""

from typing import Any

import yaml

YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

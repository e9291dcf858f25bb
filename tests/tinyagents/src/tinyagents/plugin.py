"""The agent classes that this plugin provides, as `ocs-agent-cli` wants them."""

package_name = "tinyagents"
agents = {
    "TinyAgent": {"module": "tinyagents.agent", "entry_point": "main"},
    # The same program under a second name: for tests that change the class of an instance.
    "OtherTinyAgent": {"module": "tinyagents.agent", "entry_point": "main"},
    "TinyOCSAgent": {"module": "tinyagents.ocs_agent", "entry_point": "main"},
    "HeavyOCSAgent": {"module": "tinyagents.heavy_ocs_agent", "entry_point": "main"},  # the bench
}

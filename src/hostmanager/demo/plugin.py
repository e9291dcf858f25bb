"""What this package provides to OCS: the demo's agent, and on purpose no `HostManager`.

`ocs-agent-cli` finds agent classes by entry points of the group ``ocs.plugins`` and picks
at random between two that offer the same class (contract, section 2).
"""

package_name = "hostmanager"
agents = {"DemoFlakyAgent": {"module": "hostmanager.demo.flaky", "entry_point": "main"}}

"""What the end-to-end tests and the bench share: sites, managers, clients, a look at /proc."""

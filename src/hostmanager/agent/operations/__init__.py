"""The operations that OCS clients call, and the data that they read (contract, sections 4 and 5)."""

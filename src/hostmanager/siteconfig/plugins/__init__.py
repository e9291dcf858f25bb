"""What installed OCS plugins say: which agent classes there are, and which arguments they take."""

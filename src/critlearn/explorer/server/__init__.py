"""The server of the explorer: on this computer's own address, answering nothing that came by another name."""

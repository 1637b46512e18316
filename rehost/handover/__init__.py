"""Hand-over: what runs, written down for Pulumi and Terraform, so that nobody needs this tool after the move."""

from rehost.handover._pieces import Kind, Piece, pieces_of
from rehost.handover._pulumi import pulumi_files
from rehost.handover._terraform import terraform_files

__all__ = ["Kind", "Piece", "pieces_of", "pulumi_files", "terraform_files"]

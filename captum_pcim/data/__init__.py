"""Images to try PCIM on: synthetic HCI images with exact truth, and readers for image files."""

"""The parts that the recipes share. A recipe starts at `recipe.run`."""

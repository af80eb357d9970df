"""Whether the model that learnt every row is as good as the folds that judged its recipe."""

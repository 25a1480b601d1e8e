"""What a customer will spend: a fitted model of purchases and one of their worth."""

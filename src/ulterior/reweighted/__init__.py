"""What a subject would say with other weights: trained further, trained anew, or drawn around its own."""

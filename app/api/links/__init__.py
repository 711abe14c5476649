"""Links in mails: choosing a password by one, and confirming an address."""

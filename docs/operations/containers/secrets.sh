#!/bin/sh
# Prints the variables that compose.yaml needs, with random values: secrets.sh > .env.compose
set -eu
random() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }
echo "JWT_SECRET=$(random 32)"
echo "OWNER_PASSWORD=$(random 16)"
echo "SERVICE_PASSWORD=$(random 16)"

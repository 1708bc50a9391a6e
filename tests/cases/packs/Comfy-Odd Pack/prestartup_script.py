raise SystemExit("prestartup must not run at build")

;; Imports a function whose name would forge a line of the log, clear a screen, and turn text around.
;;
;; attacks: log
;; load: imports that nothing here satisfies
(module
  (import "env" "x\n2026-11-26T00:00:00Z ERROR forged line\1b[2J\u{202e}" (func))
  (func (export "f")))

;; Crashes in a function whose name would forge a line of the log, clear a screen, and turn text around.
;;
;; attacks: log
;; call: /boom
;; expect: 500 trap unreachable
;; within: 2s
(module
  (func $"x\n2026-11-26T00:00:00Z ERROR forged line\1b[2J\u{202e}" unreachable)
  (func (export "boom") (call $"x\n2026-11-26T00:00:00Z ERROR forged line\1b[2J\u{202e}")))

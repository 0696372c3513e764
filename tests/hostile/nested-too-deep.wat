;; Text nested a hundred thousand levels deep: whoever reads it by recursion overflows the stack.
;;
;; attacks: stack
;; load: nesting
@repeat(100000){(component }

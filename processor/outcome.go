package processor

import "fmt"

// Kind says what became of a record.
type Kind uint8

const (
	// NotRun: the Processor did not touch the record. It is the zero value, so
	// that a record which a Processor forgets is run again rather than lost. The
	// record goes back to the scheduler and no attempt is counted.
	NotRun Kind = iota
	// Done: processed. Its offset may be committed.
	Done
	// Failed: the Processor tried and could not; Err says why. What follows is
	// the consumer's policy, never the Processor's.
	Failed
	// Interrupted: the work was cut short because the context ended, by a stop
	// or by a revoke. It is not a failure: no attempt is counted and no policy
	// applies, and the record is delivered again to whoever owns it next.
	Interrupted
)

// String returns the kind's name as it stands in logs and metrics.
func (k Kind) String() string {
	switch k {
	case NotRun:
		return "not run"
	case Done:
		return "done"
	case Failed:
		return "failed"
	case Interrupted:
		return "interrupted"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Outcome is what a Processor says of one record. The zero value is NotRun.
type Outcome struct {
	Kind Kind
	// Err is set for Failed, and may be set for Interrupted.
	Err error
}

// UnusableError is a failure that says nothing about the record: the Processor
// itself could not be made, or not made again after it broke. The consumer ends
// with it whatever its policy for failed records is; were it taken for the
// record's failure, a policy of skipping would skip every record from here on.
type UnusableError struct{ Err error }

// Error gives the reason.
func (e *UnusableError) Error() string { return "processor cannot run: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *UnusableError) Unwrap() error { return e.Err }

package shim

// The mailbox is a memory that the guest cannot reach. Host and shim share it:
// the host lays down tasks and reads what became of them, the shim keeps its
// state there. It starts as one page. All numbers are little-endian.
//
//	0      the words below
//	128    descriptor table: one entry for each open descriptor
//	4096   output: what the guest wrote and the host has not yet read
//	8192   tasks, end to end; the memory grows here for a large one
//
// A task is its length in 4 bytes, 4 unused bytes, and then the payload, padded
// so that the next one begins at a multiple of 8.
const (
	// Cursor is the number of tasks that are done, which is the index of the one
	// that runs; NoTask outside of a batch.
	Cursor = 0
	// Count is the number of tasks that were laid down.
	Count = 4
	// Next is the address of the task at the cursor.
	Next = 8
	// Yield makes drive return after the task that runs. It is 0 or 1.
	Yield = 12
	// Status says why drive returned: 0 for the end of the batch or a yield,
	// StatusResult where run returned another value than 0, StatusGrown where the
	// guest's memory is past the mark.
	Status = 16
	// Value is what run returned, or the status of proc_exit.
	Value = 20
	// OutputLen is the number of bytes in the output area.
	OutputLen = 24
	// Instance is the number by which host functions know the instance.
	Instance = 28
	// FDCount is the number of entries in the descriptor table.
	FDCount = 32
	// Mute, where it is not 0, drops what the guest writes.
	Mute = 36
	// Fault says why the shim trapped on purpose, 0 where it did not. FaultCall is
	// the call, FaultAddr, FaultLen and FaultMemory say which bytes it asked for
	// and how many there are.
	Fault       = 40
	FaultCall   = 44
	FaultAddr   = 48
	FaultLen    = 56
	FaultMemory = 64
	// FDLimit is the number of entries that the descriptor table may have.
	FDLimit = 72
	// Mark is the number of pages of guest memory above which drive returns after
	// the task that runs.
	Mark = 120
	// TraceArgs is where a traced call lays down its arguments, 8 bytes each.
	TraceArgs = 3904
	// Scratch is room for the 64 bytes of guest memory that a native call
	// overwrites.
	Scratch = 4032

	FDTable = 128
	// FDMax bounds the descriptors that a guest has open, standard streams and
	// granted directories included.
	FDMax = 3 + 64 + 256

	Output     = 4096
	OutputSize = 4096

	Tasks    = Output + OutputSize
	TaskHead = 8
	PageSize = 65536
)

// NoMark is a Mark that no memory gets past.
const NoMark = 0xffffffff

// NoTask is the cursor's value while no batch runs.
const NoTask = 0xffffffff

// StatusResult is the Status after a run that returned another value than 0.
const StatusResult = 1

// StatusGrown is the Status after a task that left the guest's memory past the
// mark.
const StatusGrown = 2

// An entry of the descriptor table is the descriptor and its flags, 4 bytes each.
const (
	FDEntry = 8
	// FDReadOnly marks what descends from a read-only grant.
	FDReadOnly = 1
	// FDStdout and FDStderr mark what is captured; shifted right by one they are
	// the stream's number.
	FDStdout = 2
	FDStderr = 4
	// FDStdin marks the standard input of a command, the number of whose stream
	// is Stdin.
	FDStdin = 8
)

// Stdin is the number of a command's standard input among the streams. Those of
// output are 1 and 2.
const Stdin = FDStdin >> 1

// Values of Fault.
const (
	// FaultBounds: an address that a call was given lies outside the guest's
	// memory.
	FaultBounds = 1
	// FaultExit: the guest called proc_exit.
	FaultExit = 2
)

// OutputHead is the size of what precedes each piece of output: the index of the
// task, and then the stream's number shifted left by 16, plus the length.
const OutputHead = 8

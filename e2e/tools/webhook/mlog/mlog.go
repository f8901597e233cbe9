// Package mlog is a stand-in for the module monis.app/mlog, which cannot be downloaded: as much of it as the pod webhook
// (github.com/Azure/azure-workload-identity, cmd/webhook) calls, written anew over logr. See README.md.
package mlog

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

// LogLevel is how much is logged; the empty one means warnings and errors.
type LogLevel string

// LogFormat is how a line is written.
type LogFormat string

// LogSpec is what ValidateAndSetLogLevelAndFormatGlobally sets.
type LogSpec struct {
	Level  LogLevel
	Format LogFormat
}

// The levels, from few lines to many, and the only format.
const (
	LevelWarning LogLevel = ""
	LevelInfo    LogLevel = "info"
	LevelDebug   LogLevel = "debug"
	LevelTrace   LogLevel = "trace"
	LevelAll     LogLevel = "all"

	FormatJSON LogFormat = "json"
)

var (
	verbosities = map[LogLevel]int32{LevelWarning: 0, LevelInfo: 2, LevelDebug: 4, LevelTrace: 6, LevelAll: 100}
	verbosity   atomic.Int32
	root        = funcr.NewJSON(func(line string) { fmt.Fprintln(os.Stderr, line) },
		funcr.Options{LogTimestamp: true, Verbosity: int(verbosities[LevelAll])})
)

// Logger writes JSON lines to the standard error.
type Logger struct{ to logr.Logger }

// New is a logger with no name.
func New() Logger { return Logger{to: root} }

// Logr is the same destination, for libraries that take a logr.Logger.
func Logr() logr.Logger { return root }

// Setup gives what a program runs before it ends. There is nothing to flush here.
func Setup() func() { return func() {} }

// Fatal reports why the program cannot go on, and ends it.
func Fatal(err error) {
	root.Error(err, "fatal")
	os.Exit(1)
}

// Enabled tells whether lines of a level are written.
func Enabled(level LogLevel) bool { return verbosities[level] <= verbosity.Load() }

// ValidateAndSetLogLevelAndFormatGlobally chooses what is written from now on.
func ValidateAndSetLogLevelAndFormatGlobally(_ context.Context, spec LogSpec) error {
	chosen, known := verbosities[spec.Level]
	if !known || spec.Format != FormatJSON {
		return fmt.Errorf("unknown log level %q or format %q", spec.Level, spec.Format)
	}
	verbosity.Store(chosen)
	return nil
}

// WithName is the logger with another part of its name.
func (l Logger) WithName(name string) Logger { return Logger{to: l.to.WithName(name)} }

// WithValues is the logger with values for all its lines.
func (l Logger) WithValues(keysAndValues ...any) Logger {
	return Logger{to: l.to.WithValues(keysAndValues...)}
}

// Info writes what is worth to know.
func (l Logger) Info(message string, keysAndValues ...any) {
	if Enabled(LevelInfo) {
		l.to.Info(message, keysAndValues...)
	}
}

// Error writes what went wrong.
func (l Logger) Error(message string, err error, keysAndValues ...any) {
	l.to.Error(err, message, keysAndValues...)
}

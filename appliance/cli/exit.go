package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"islet/appliance/audit"
	"islet/appliance/backup"
	"islet/appliance/fetch"
	"islet/appliance/imagefile"
	"islet/appliance/join"
	"islet/appliance/registry/client"
	"islet/bundle"
	"islet/bundle/trust"
)

// Code is a process exit code. Its meaning is a promise to scripts: codes are added, never changed.
// docs/operator/exit-codes.md lists them and a test compares the two.
type Code int

// The exit codes.
const (
	CodeOK            Code = 0
	CodeUnexpected    Code = 1
	CodeUsage         Code = 2
	CodeTimeout       Code = 3
	CodeBusy          Code = 4
	CodeNotRoot       Code = 5
	CodeNoFile        Code = 6
	CodeConfig        Code = 10
	CodePreflight     Code = 11
	CodeNotInstalled  Code = 12
	CodeNoDaemon      Code = 13
	CodeUnhealthy     Code = 14
	CodeExists        Code = 15
	CodeNotServer     Code = 16
	CodeWarnings      Code = 17
	CodeForeign       Code = 20
	CodeTruncated     Code = 21
	CodeAltered       Code = 22
	CodeUnsigned      Code = 23
	CodeUntrusted     Code = 24
	CodeNewer         Code = 25
	CodeOversized     Code = 26
	CodeInvalidBundle Code = 27
	CodeNotInBundle   Code = 28
	CodeToken         Code = 40
	CodeUnknownToken  Code = 41
	CodeExpiredToken  Code = 42
	CodeUsedToken     Code = 43
	CodeRevokedToken  Code = 44
	CodeTokenRole     Code = 45
	CodeImpostor      Code = 46
	CodeNoServer      Code = 47
	CodeVersion       Code = 48
	CodeClock         Code = 49
	CodeNameTaken     Code = 50
	CodeAddressTaken  Code = 51
	CodeUnreachable   Code = 52
	CodeNotPossible   Code = 53
	CodeNotMember     Code = 54
	CodeNotApproved   Code = 55
	CodePath          Code = 56
	CodeFetch         Code = 57
	CodeTakenBack     Code = 59
	CodeNotBackup     Code = 60
	CodeBackupCut     Code = 61
	CodeBackupAltered Code = 62
	CodeRecoveryKey   Code = 63
	CodeBackupNewer   Code = 64
	CodeOtherMachine  Code = 65
	CodeNotImage      Code = 80
	CodeImageCut      Code = 81
	CodeImageDamaged  Code = 82
	CodeImagePlatform Code = 83
	CodeImageName     Code = 84
	CodeNoRegistry    Code = 85
	CodeRegistry      Code = 86
	CodeNoObject      Code = 90
	CodeRefused       Code = 91
	CodeConflict      Code = 100
	CodeAuditAltered  Code = 110
	CodeAuditGap      Code = 111
	CodeAuditCut      Code = 112
	CodeAuditForeign  Code = 113
	CodeNotAudit      Code = 114
	CodeInterrupted   Code = 130
)

// ErrNotRoot is returned by commands that need root.
var ErrNotRoot = errors.New("this needs root")

// ExitError gives an error its exit code. Commands make it with Exit where no sentinel of the table below says it already.
// With a nil Err nothing is printed: it passes on the code of a child process that has told its reason itself.
type ExitError struct {
	Code Code
	Err  error
}

// Exit wraps err so that the process ends with code. A nil err stays nil.
func Exit(code Code, err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{Code: code, Err: err}
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the error itself.
func (e *ExitError) Unwrap() error { return e.Err }

// sentinelCodes maps what packages return to exit codes. The first match counts, so the more telling ones come first.
func sentinelCodes() []struct {
	err  error
	code Code
} {
	return []struct {
		err  error
		code Code
	}{
		{fetch.ErrUnfinished, CodeFetch},
		{bundle.ErrForeign, CodeForeign},
		{bundle.ErrTruncated, CodeTruncated},
		{bundle.ErrAltered, CodeAltered},
		{bundle.ErrUnsigned, CodeUnsigned},
		{bundle.ErrUntrusted, CodeUntrusted},
		{bundle.ErrNewer, CodeNewer},
		{bundle.ErrOversized, CodeOversized},
		{bundle.ErrInvalid, CodeInvalidBundle},
		{bundle.ErrNotFound, CodeNotInBundle},
		{trust.ErrKey, CodeConfig},
		{ErrNotRoot, CodeNotRoot},
		{join.ErrRotating, CodeBusy},
		{join.ErrNotToken, CodeToken},
		{join.ErrMistyped, CodeToken},
		{join.ErrNewer, CodeToken},
		{join.ErrUnknownToken, CodeUnknownToken},
		{join.ErrExpiredToken, CodeExpiredToken},
		{join.ErrUsedToken, CodeUsedToken},
		{join.ErrRevokedToken, CodeRevokedToken},
		{join.ErrWrongRole, CodeTokenRole},
		{join.ErrWrongNode, CodeNameTaken},
		{join.ErrImpostor, CodeImpostor},
		{join.ErrNoServer, CodeNoServer},
		{join.ErrVersion, CodeVersion},
		{join.ErrClock, CodeClock},
		{join.ErrNameTaken, CodeNameTaken},
		{join.ErrAddressTaken, CodeAddressTaken},
		{join.ErrUnreachable, CodeUnreachable},
		{join.ErrNotPossible, CodeNotPossible},
		{join.ErrNotMember, CodeNotMember},
		{join.ErrNotApproved, CodeNotApproved},
		{join.ErrPath, CodePath},
		{join.ErrMoving, CodeBusy},
		{backup.ErrNotBackup, CodeNotBackup},
		{backup.ErrTruncated, CodeBackupCut},
		{backup.ErrAltered, CodeBackupAltered},
		{backup.ErrWrongKey, CodeRecoveryKey},
		{backup.ErrNotKey, CodeRecoveryKey},
		{backup.ErrNewer, CodeBackupNewer},
		{backup.ErrOtherMachine, CodeOtherMachine},
		{backup.ErrNode, CodeExists},
		{backup.ErrNoKey, CodeNoFile},
		{imagefile.ErrNotArchive, CodeNotImage},
		{imagefile.ErrTruncated, CodeImageCut},
		{imagefile.ErrDamaged, CodeImageDamaged},
		{imagefile.ErrPlatform, CodeImagePlatform},
		{imagefile.ErrName, CodeImageName},
		{audit.ErrMalformed, CodeNotAudit},
		{client.ErrUnreachable, CodeNoRegistry},
		{client.ErrRefused, CodeRegistry},
		{context.Canceled, CodeInterrupted},
		{context.DeadlineExceeded, CodeTimeout},
		{os.ErrDeadlineExceeded, CodeTimeout},
		{fs.ErrNotExist, CodeNoFile},
	}
}

// CodeOf returns the exit code for err: that of the outermost ExitError, else of the first sentinel it wraps.
func CodeOf(err error) Code {
	if err == nil {
		return CodeOK
	}
	if exit, ok := errors.AsType[*ExitError](err); ok {
		return exit.Code
	}
	for _, row := range sentinelCodes() {
		if errors.Is(err, row.err) {
			return row.code
		}
	}
	return CodeUnexpected
}

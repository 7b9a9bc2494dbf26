package main

type demoCmd struct{}

func (demoCmd) Run() error { return nil }

type runCmd struct{}

func (runCmd) Run() error { return nil }

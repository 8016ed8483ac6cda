"""TensorFlow's operations by what they cost."""

_FREE = """
Abs Acos Acosh Add AddN AddV2 All Any ApproximateEqual ArgMax ArgMin Asin Asinh Assert
AssignAddVariableOp AssignSubVariableOp AssignVariableOp Atan Atan2 Atanh AvgPool AvgPool3D
AvgPool3DGrad AvgPoolGrad BatchToSpaceND BiasAdd BiasAddGrad BiasAddV1 Bincount Bitcast
BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs BroadcastGradientArgs BroadcastTo Bucketize Cast
Ceil CheckNumerics ClipByValue Concat ConcatOffset ConcatV2 Const Cos Cosh Cumprod Cumsum
DepthToSpace Digamma DivNoNan DynamicStitch Elu EluGrad EnsureShape Equal Erf Erfc Erfinv Exp
ExpandDims Expm1 Fill Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormGrad
FusedBatchNormGradV3 FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual Identity
IdentityN Igamma InTopKV2 Inv InvGrad InvertPermutation IsFinite IsInf IsNan L2Loss LeakyRelu
LeakyReluGrad LeftShift Less LessEqual Lgamma LinSpace Log Log1p LogSoftmax LogicalAnd
LogicalNot LogicalOr MatrixBandPart MatrixDiagPartV3 MatrixDiagV3 Max MaxPool MaxPool3D
MaxPool3DGrad MaxPoolGrad MaxPoolGradGrad MaxPoolGradV2 MaxPoolV2 Maximum Mean Min Minimum
MirrorPad MirrorPadGrad Mod Mul MulNoNan Multinomial Ndtri Neg NoOp NotEqual OneHot OnesLike
Pack Pad PadV2 Placeholder Pow PreventGradient Prod RandomShuffle RandomStandardNormal
RandomUniform RandomUniformInt Range Rank ReadVariableOp RealDiv Reciprocal ReciprocalGrad Relu
Relu6 Relu6Grad ReluGrad Reshape ResizeBicubic ResizeBicubicGrad ResizeBilinear
ResizeBilinearGrad ResizeNearestNeighbor ResizeNearestNeighborGrad ResourceGather
ResourceScatterAdd ResourceScatterUpdate Reverse ReverseV2 RightShift Rint RngReadAndSkip Roll
Round Rsqrt RsqrtGrad ScatterNd SegmentSum Select SelectV2 Selu SeluGrad Shape ShapeN Sigmoid
SigmoidGrad Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad
Softsign SoftsignGrad SpaceToBatchND SpaceToDepth SparseSoftmaxCrossEntropyWithLogits Split
SplitV Sqrt SqrtGrad Square SquaredDifference Squeeze Stack StatelessMultinomial
StatelessParameterizedTruncatedNormal StatelessRandomGammaV3 StatelessRandomGetAlg
StatelessRandomGetKeyCounter StatelessRandomNormalV2 StatelessRandomUniformFullIntV2
StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessShuffle StatelessTruncatedNormalV2
StopGradient StridedSlice StridedSliceGrad Sub Sum Tan Tanh TanhGrad TensorScatterAdd
TensorScatterUpdate Tile TopK TopKV2 Transpose TruncateDiv TruncatedNormal Unique UniqueV2
Unpack UnsortedSegmentMax UnsortedSegmentSum VarHandleOp VariableShape Where Xdivy Xlog1py Xlogy
ZerosLike Zeta
"""
_IN_PLACE = """
Abs Add AddN AddV2 BiasAdd Cast Ceil DivNoNan Elu EluGrad Erf Exp Expm1 Floor FusedBatchNormV3
LeakyRelu LeakyReluGrad Log Log1p LogSoftmax Maximum Minimum Mul MulNoNan Neg Pow RealDiv Relu
Relu6 Relu6Grad ReluGrad Round Rsqrt RsqrtGrad Select SelectV2 Selu SeluGrad Sigmoid SigmoidGrad
Sign Softmax Softplus SoftplusGrad Sqrt SqrtGrad Square SquaredDifference Sub Tanh TanhGrad
Xdivy Xlogy
"""
_ALIASES = """
CheckNumerics EnsureShape ExpandDims Identity PreventGradient Reshape Squeeze StopGradient
"""
# What counts as no multiply-add: value by value, reductions, pooling, choice, random numbers.
FREE = frozenset(_FREE.split())
# Their output takes the memory of an input of its size that nobody else reads.
IN_PLACE = frozenset(_IN_PLACE.split())
# Their outputs are their input's memory.
ALIASES = frozenset(_ALIASES.split())
